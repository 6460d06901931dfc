"""What the receptionist can do: the tools, over one diary."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any, Literal

from receptionist_diary import Appointment, Diary, NotPossible

from runner.services.tools import ToolCall, tool

HOURS = "Monday to Friday, from nine in the morning to five in the afternoon"
LOOKING = ("Let me look at the diary.", "One moment, please.")


class Desk:
    """One caller's receptionist. `person` is the phone number of a human, if there is one."""

    def __init__(self, diary: Diary, now: Callable[[], datetime], person: str = "") -> None:
        self._diary = diary
        self._now = now
        self._person = person

    def tools(self) -> list[Callable[..., Any]]:
        """All of it, for `LLMContext(tools=…)`."""
        return [
            self.opening_hours, self.find_free_slots, self.find_appointments, self.book, self.move,
            self.cancel, self.take_message, self.hand_over, self.hang_up,
        ]  # fmt: skip

    def opening_hours(self) -> dict[str, str]:
        """Tell when the practice is open."""
        return {"hours": HOURS}

    @tool(filler=LOOKING)
    def find_free_slots(
        self, day: date, part_of_day: Literal["any", "morning", "afternoon"] = "any"
    ) -> dict[str, Any]:
        """Find the times that are free on a day. Offer two or three of them, not the whole list.

        Args:
            day: as 2026-11-24.
            part_of_day: if the caller wants one.
        """
        free = self._diary.free(day, self._now())
        if part_of_day != "any":
            free = [slot for slot in free if (slot.hour < 12) == (part_of_day == "morning")]
        return {"weekday": f"{day:%A}", "day": str(day), "free": [f"{slot:%H:%M}" for slot in free]}

    @tool(filler=LOOKING)
    def find_appointments(self, name: str) -> dict[str, Any]:
        """Find what a caller has booked, and its number.

        Args:
            name: the caller's name, as it was booked.
        """
        return {"appointments": [_described(found) for found in self._diary.of(name, self._now())]}

    @tool(cancel_on_interruption=False, filler=LOOKING)
    def book(self, name: str, day: date, at: time) -> dict[str, Any]:
        """Book an appointment, once the caller has agreed to day and time.

        Args:
            name: the caller's name.
            day: as 2026-11-24.
            at: as 10:30.
        """
        return self._try(lambda: self._diary.book(name, datetime.combine(day, at), self._now()), day)

    @tool(cancel_on_interruption=False, filler=LOOKING)
    def move(self, number: int, day: date, at: time) -> dict[str, Any]:
        """Move an appointment to another time.

        Args:
            number: of the appointment.
            day: the new day, as 2026-11-24.
            at: the new time, as 10:30.
        """
        return self._try(lambda: self._diary.move(number, datetime.combine(day, at), self._now()), day)

    @tool(cancel_on_interruption=False)
    def cancel(self, number: int) -> dict[str, Any]:
        """Cancel an appointment, once the caller has confirmed which.

        Args:
            number: of the appointment.
        """
        return self._try(lambda: self._diary.cancel(number))

    @tool(cancel_on_interruption=False)
    def take_message(self, name: str, message: str, phone: str = "") -> dict[str, str]:
        """Take a message for the people of the practice.

        Args:
            name: who it is from.
            message: in the caller's words.
            phone: where to call back.
        """
        self._diary.take_message(name, phone, message, self._now())
        return {"status": "taken"}

    async def hand_over(self, call: ToolCall) -> dict[str, str]:
        """Put the caller through to a person, who takes over when you have said so."""
        if not self._person:
            return {"error": "nobody can come to the phone; offer to take a message"}
        await call.transfer(self._person)
        return {"status": "the caller is put through after your next sentence"}

    async def hang_up(self, call: ToolCall) -> dict[str, str]:
        """End the call, when the caller has said goodbye."""
        await call.end_call("the caller said goodbye")
        return {"status": "the call ends after your next sentence: say goodbye"}

    def _try(self, change: Callable[[], Appointment], day: date | None = None) -> dict[str, Any]:
        try:
            return {"status": "done", **_described(change())}
        except NotPossible as reason:
            free = self._diary.free(day, self._now()) if day is not None else []
            return {"status": "refused", "reason": str(reason), "free": [f"{slot:%H:%M}" for slot in free]}


def _described(appointment: Appointment) -> dict[str, Any]:
    starts = appointment.starts
    return {
        "number": appointment.number,
        "weekday": f"{starts:%A}",
        "day": f"{starts:%Y-%m-%d}",
        "at": f"{starts:%H:%M}",
    }
