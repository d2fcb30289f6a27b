"""What the demo lines say: equipment numbers, addresses, medicines, dates and amounts, name plates.

A small grammar. `{name}` stands for one of the alternatives of that rule, `#` for a digit, `%` for
a digit from 1 to 9, `@` for a letter. Alternatives are dealt like cards, so that each occurs
equally often and a network trained from nothing meets every character several times.
"""

import random
import re

RULES = {
    "line": "{number}|{number}|{number}|{address}|{address}|{address}|{medicine}|{medicine}"
    "|{medicine}|{medicine}|{medicine}|{amount}|{amount}|{date}|{plate}|{plate}|{plate}|{plate}",
    "number": "{id}|{id}|设备编号：{id}|出厂编号：@@####-###|=A%+S%-K%#:%#|PT-%##@|@@##/@@##"
    "|QF-10kV-%#|SN: #@#@####|资产编号 ##-####-@|FV###@-DN{size}|Z41H-16C DN{size}"
    "|JB/T ####-{year}|型号：YE3-{size}M-%|HX{size}-%#.#/%#.#",
    "id": "GL-{year}-{month}-0##-@|GL-{year}-{month}-0##-@|SB-{year}-{month}-0##-@|DX-{year}-0##-@"
    "|KY%#-{month}-##@",
    "size": "25|40|50|65|80|100|112|125|132|150|160|200",
    "address": "{city}{road}%#号|{city}{road}%#号|{city}{road}1##号|{city}{road}%号楼%单元%0%室"
    "|{road}%#号院%座1#0%室|{city}{road}%#号%层|地址：{road}%#号@座",
    "city": "北京市朝阳区|北京市海淀区|北京市西城区|上海市浦东新区|上海市静安区|天津市南开区"
    "|天津市和平区|广州市天河区|深圳市南山区|深圳市福田区|南京市江宁区|杭州市西湖区|成都市高新区"
    "|成都市青羊区|武汉市江汉区|武汉市洪山区|西安市长安区|青岛市市南区",
    "road": "建国路|中山路|人民路|解放路|长江路|和平路|新华路|文化路|科技路|学院路|青山路|南京西路"
    "|建设大道|工业大道|东风大道|天府大道|机场路|湖南路",
    "medicine": "{pack}|{pack}|{pack}|{dose}|{dose}|{herb}1%g {herb}%g {herb}1%g|{herb}%g {herb}1%g"
    "|国药准字Z{year}####",
    "pack": "{powder} %g×%袋|{powder}（%g×1#袋）|{oral} 10ml×%支|{capsule} 0.25g×%2粒"
    "|{capsule}（0.%g×24粒）|{pill} 9g×%丸|{pill} 6g×1#丸|{pill}（%g×1#丸）|{tablet} 0.%g×1#片"
    "|{tablet}（0.%g×24片）",
    "dose": "{powder} 每次%袋 每日3次|{oral} 一次%支 饭后服|{capsule} 每次%粒 每日2次"
    "|{pill} 每次%丸 饭后服|{pill} 一次%丸 每日2次|{tablet} 一次%片 一日3次",
    "powder": "参苓白术散|板蓝根颗粒|小柴胡颗粒|感冒清热颗粒",
    "oral": "双黄连口服液|藿香正气口服液",
    "capsule": "阿莫西林胶囊|布洛芬缓释胶囊",
    "pill": "六味地黄丸|杞菊地黄丸|知柏地黄丸|补中益气丸|归脾丸",
    "tablet": "复方丹参片|牛黄解毒片|银翘解毒片|头孢克洛片|维生素C片",
    "herb": "黄芪|当归|白术|茯苓|甘草|党参|陈皮|川芎|柴胡|丹参|菊花|生地|连翘|桂枝|白芷",
    "amount": "¥{money}|合计：¥{money}|金额 {money}元|应付金额：¥{money}|税额 ¥{money}"
    "|单价 {money} 数量 %|{words}元整|{words}元{numeral}角整|大写：{words}元整|实收 {money}元",
    "numeral": "壹|贰|叁|肆|伍|陆|柒|捌|玖",
    "date": "{year}年{month}月{day}日|日期：{year}-{month}-{day}|{year}/{month}/{day} {time}"
    "|生产日期 {year}{month}{day}|有效期至 {year}年{month}月|检验日期：{year}.{month}.{day}"
    "|收款人：{person} {month}月{day}日|{month}月{day}日 {time}",
    "year": "2018|2019|2020|2021|2022|2023|2024|2025|2026|2027",
    "month": "01|02|03|04|05|06|07|08|09|10|11|12",
    "day": "01|04|07|09|12|13|15|18|20|22|26|28",
    "time": "08:%#|09:4%|10:2%|13:3%|14:0%|16:5%|17:%0|21:1%",
    "plate": "{rating} {rating}|{device} {rating}|%号{device} {rating}|{device}责任人：{person}"
    "|检验员：{person} 合格|%号楼{device}|{city}{trade}厂|{trade}{trade}设备有限公司"
    "|{trade}股份有限公司|{trade}{device}厂|{device}出厂检验合格|巡检：{person} ##-##",
    "rating": "额定功率 %.5kW|额定电压 380V 50Hz|电流 1#.%A|转速 14%0r/min|重量 %#0kg"
    "|工作压力 1.%MPa|流量 %#m³/h|温度 %#℃|容量 %#0kVA",
    "device": "水泵|风机|电动机|变压器|配电箱|开关柜|压力表|温度计|阀门|减速机",
    "person": "王建国|李明华|张新民|刘伟|陈海平|王丽",
    "trade": "电气|机械|泵业|制药|仪表|重工|阀门",
}
DIGITS, LETTERS, NUMERALS = "0123456789", "ABCDEFGHJKLMNPQRSTUVWXYZ", "零壹贰叁肆伍陆柒捌玖"


class Deck:
    """Deals the values of a list in shuffled rounds: each is dealt equally often."""

    def __init__(self, values: list[str], rng: random.Random) -> None:
        self.values, self.rng = values, rng
        self.rest: list[str] = []

    def deal(self) -> str:
        if not self.rest:
            self.rest = self.rng.sample(self.values, len(self.values))
        return self.rest.pop()


def amount_in_words(yuan: int) -> str:
    """The formal numerals of a bank form for 1 to 99,999: 1280 → 壹仟贰佰捌拾."""
    words, gap = "", False
    for unit, digit in zip("万仟佰拾 ", f"{yuan:05d}", strict=True):
        if digit != "0":
            words += ("零" if gap else "") + NUMERALS[int(digit)] + unit.strip()
        gap = digit == "0" and bool(words)
    return words


class TextSource:
    """A seeded source of lines; `draw()` gives the next one."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.decks = {name: Deck(rule.split("|"), self.rng) for name, rule in RULES.items()}
        self.decks |= {"@": Deck(list(LETTERS), self.rng)}

    def draw(self, rule: str = "line") -> str:
        if rule == "money":
            small, large = self.rng.randint(100, 99_999), self.rng.randint(100_000, 9_999_999)
            return f"{self.rng.choice((small, large)) / 100:,.2f}"
        if rule == "words":
            return amount_in_words(self.rng.randint(101, 99_999))
        form = re.sub(r"\{(\w+)\}", lambda slot: self.draw(slot[1]), self.decks[rule].deal())
        return re.sub("[#%@]", lambda slot: self._symbol(slot[0]), form)

    def _symbol(self, slot: str) -> str:
        if slot == "@":
            return self.decks["@"].deal()
        return self.rng.choice(DIGITS if slot == "#" else DIGITS[1:])
