"""Tools: Python functions that a language model may call.

```python
@tool(filler="Let me look that up.")
async def weather(city: str, days: int = 1) -> dict[str, str]:
    '''Tell the weather forecast.

    Args:
        city: the city's name, without the country.
        days: how many days ahead.
    '''

LLMContext(messages, tools=[weather])
```
"""

from runner.services.tools.call import FunctionCallParams, ToolCall
from runner.services.tools.toolbox import FunctionSchema, Tool, Toolbox, ToolOptions, ToolsSchema, tool

__all__ = [
    "FunctionCallParams",
    "FunctionSchema",
    "Tool",
    "ToolCall",
    "ToolOptions",
    "Toolbox",
    "ToolsSchema",
    "tool",
]
