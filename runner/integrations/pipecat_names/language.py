"""`Language`, as Pipecat spells it: `Language.EN_US` is the text "en-US"."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

_CODES = """
af af-ZA am am-ET ar ar-AE ar-BH ar-DZ ar-EG ar-IQ ar-JO ar-KW ar-LB ar-LY ar-MA ar-OM ar-QA ar-SA ar-SY
ar-TN ar-XA ar-YE ar-001 as as-IN ast az az-AZ ba be be-BY bg bg-BG bn bn-BD bn-IN bo br brx brx-IN bs bs-BA
ca ca-ES ceb ceb-PH ckb ckb-IQ ckb-IR cmn cmn-CN cs cs-CZ cy cy-GB da da-DK de de-AT de-BE de-CH de-DE doi
doi-IN el el-GR en en-AB en-AU en-CA en-GB en-GH en-HK en-IE en-IN en-KE en-NG en-NZ en-PH en-SG en-TZ en-US
en-WL en-ZA eo es es-AR es-BO es-CL es-CO es-CR es-CU es-DO es-EC es-ES es-GQ es-GT es-HN es-MX es-NI es-PA
es-PE es-PR es-PY es-SV es-US es-UY es-VE es-419 et et-EE eu eu-ES fa fa-AF fa-IR ff fi fi-FI fil fil-PH fo
fr fr-BE fr-CA fr-CH fr-FR ga ga-IE gd gl gl-ES gu gu-IN ha haw he he-IL hi hi-IN hr hr-HR ht ht-HT hu hu-HU
hy hy-AM id id-ID ig is is-IS it it-IT it-CH iu-Cans iu-Cans-CA iu-Latn iu-Latn-CA ja ja-JP jv jv-ID jv-JV
jw ka ka-GE kea kab kab-DZ kk kk-KZ km km-KH kn kn-IN kok kok-IN ko ko-KR ks ks-IN ku ky ky-KG la la-VA lb
lb-LU ln lo lo-LA lt lt-LT lg luo lv lv-LV mg mg-MG mi mk mk-MK mai mai-IN ml ml-IN mn mn-MN mni mni-IN mr
mr-IN ms ms-MY mt mt-MT my my-MM nb nb-NO no nn nn-NO ne ne-IN ne-NP nl nl-BE nl-NL nso ny oc or or-IN pa
pa-IN pl pl-PL ps ps-AF pt pt-BR pt-PT ro ro-RO ru ru-RU sa sa-IN sat sat-IN sd sd-IN si si-LK sk sk-SK sl
sl-SI sn so so-SO sq sq-AL sr sr-RS sr-Latn sr-Latn-RS su su-ID sv sv-SE sw sw-BI sw-KE sw-RW sw-TZ sw-UG ta
ta-IN ta-LK ta-MY ta-SG te te-IN tg th th-TH tk tl tr tr-TR tt ug uk uk-UA umb ur ur-IN ur-PK uz uz-UZ vi
vi-VN wo wuu wuu-CN yi yo yue yue-CN zh zh-CN zh-CN-guangxi zh-CN-henan zh-CN-liaoning zh-CN-shaanxi
zh-CN-shandong zh-CN-sichuan zh-HK zh-TW zu zu-ZA xh
"""

Language: Any = StrEnum(  # type: ignore[misc]
    "Language", {code.replace("-", "_").upper(): code for code in _CODES.split()}
)
