"""Articles in other languages, from templates of our own: what a filter that keeps English must drop."""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import MappingProxyType

from pipelines.demo.scene import COLOURS, SHAPES, Scene


@dataclass(frozen=True, slots=True)
class Language:
    """Words and sentences of one language. shapes, colours: in the order of SHAPES and COLOURS."""

    shapes: tuple[str, ...]
    colours: tuple[str, ...]
    titles: tuple[str, ...]
    naming: tuple[str, ...]  # with {shape} and {colour}
    sentences: tuple[str, ...]  # some with {n}, a number
    space: str = " "

    def name(self, scene: Scene, rng: random.Random) -> str:
        """Return a sentence that names shape and colour of a single plain shape."""
        group = scene.groups[0]
        shape, colour = self.shapes[SHAPES.index(group.shape)], self.colours[tuple(COLOURS).index(group.colour)]
        return rng.choice(self.naming).format(shape=shape, colour=colour)

    def paragraph(self, rng: random.Random, number: int) -> str:
        """Return `number` sentences about no picture."""
        chosen = rng.sample(self.sentences, number)
        return self.space.join(sentence.format(n=rng.randint(3, 60)) for sentence in chosen)


_GERMAN = Language(
    ("einen Kreis", "ein Quadrat", "ein Dreieck", "einen Stern", "ein Kreuz", "ein Herz", "einen Ring", "eine Raute"),
    ("Rot", "Orange", "Gelb", "Grün", "Blau", "Violett", "Rosa", "Schwarz"),
    ("Ein Vormittag in der Zeichenschule", "Was wir vom Zeichnen lernen", "Das Blatt der Woche"),
    ("Das Bild zeigt {shape} in {colour}.", "Auf diesem Blatt sieht man {shape} in {colour}."),
    (
        "Die Klasse trifft sich jede Woche und steht allen offen.", "Nach {n} Versuchen waren alle zufrieden.",
        "Man braucht dafür nur einen Pinsel, Papier und etwas Geduld.", "Der Kurs dauert ungefähr {n} Minuten.",
        "Viele Anfänger beeilen sich, und das sieht man dem Ergebnis an.", "Die Redaktion freut sich über Briefe.",
        "Im Museum hängen heute noch {n} dieser Blätter.", "Am schwersten ist es, rechtzeitig aufzuhören.",
        "Die Kinder verstanden die Aufgabe schneller als ihre Eltern.", "Der Eintritt ist am ersten Montag frei.",
        "Ein ruhiger Blick ist wichtiger als Talent, sagt die Lehrerin.", "Das Original gehört einer Sammlerin.",
    ),
)  # fmt: skip
_FRENCH = Language(
    ("un cercle", "un carré", "un triangle", "une étoile", "une croix", "un cœur", "un anneau", "un losange"),
    ("rouge", "orange", "jaune", "verte", "bleue", "violette", "rose", "noire"),
    ("Une matinée à l'école de dessin", "Ce que le dessin nous apprend", "La feuille de la semaine"),
    ("L'image montre {shape} de couleur {colour}.", "Sur cette feuille on voit {shape} de couleur {colour}."),
    (
        "La classe se réunit chaque semaine et reste ouverte à tous.", "Il a fallu {n} essais pour y arriver.",
        "Il suffit d'un pinceau, de papier et d'un peu de patience.", "La leçon dure environ {n} minutes.",
        "Les débutants se pressent trop, et cela se voit tout de suite.", "La rédaction attend vos lettres.",
        "Le musée conserve encore {n} de ces feuilles.", "Le plus difficile est de savoir s'arrêter à temps.",
        "Les enfants ont compris l'exercice plus vite que leurs parents.", "L'entrée est libre le premier lundi.",
        "Un regard calme compte plus que le talent, dit le professeur.", "L'original appartient à une voisine.",
    ),
)  # fmt: skip
_SPANISH = Language(
    ("un círculo", "un cuadrado", "un triángulo", "una estrella", "una cruz", "un corazón", "un anillo", "un rombo"),
    ("rojo", "naranja", "amarillo", "verde", "azul", "morado", "rosa", "negro"),
    ("Una mañana en la escuela de dibujo", "Lo que enseña el dibujo", "La lámina de la semana"),
    ("La imagen muestra {shape} de color {colour}.", "En esta lámina se ve {shape} de color {colour}."),
    (
        "La clase se reúne cada semana y está abierta a todos.", "Hicieron falta {n} intentos para lograrlo.",
        "Solo se necesita un pincel, papel y un poco de paciencia.", "La lección dura unos {n} minutos.",
        "Los principiantes tienen prisa, y eso se nota enseguida.", "La redacción espera las cartas de los lectores.",
        "El museo guarda todavía {n} de estas láminas.", "Lo más difícil es saber cuándo parar.",
        "Los niños entendieron el ejercicio antes que sus padres.", "La entrada es libre el primer lunes del mes.",
        "Una mirada tranquila vale más que el talento.", "El original pertenece a una vecina del pueblo.",
    ),
)  # fmt: skip
_RUSSIAN = Language(
    ("круг", "квадрат", "треугольник", "звезда", "крест", "сердце", "кольцо", "ромб"),
    ("красного", "оранжевого", "жёлтого", "зелёного", "синего", "фиолетового", "розового", "чёрного"),
    ("Утро в школе рисования", "Чему нас учит рисунок", "Лист недели"),
    ("На картинке {shape} {colour} цвета.", "На этом листе изображён {shape} {colour} цвета."),
    (
        "Занятия проходят каждую неделю и открыты для всех.", "Понадобилось {n} попыток, чтобы всё получилось.",
        "Нужны только кисть, бумага и немного терпения.", "Урок продолжается около {n} минут.",
        "Новички обычно торопятся, и это сразу заметно.", "Редакция ждёт писем от читателей.",
        "В музее до сих пор хранится {n} таких листов.", "Труднее всего вовремя остановиться.",
        "Дети поняли задание быстрее своих родителей.", "Вход свободный в первый понедельник месяца.",
        "Спокойный взгляд важнее таланта, говорит учитель.", "Оригинал принадлежит соседке художника.",
    ),
)  # fmt: skip
_CHINESE = Language(
    ("圆形", "正方形", "三角形", "星形", "十字", "心形", "圆环", "菱形"),
    ("红色", "橙色", "黄色", "绿色", "蓝色", "紫色", "粉色", "黑色"),
    ("绘画学校的一个上午", "画画教会我们什么", "本周的画"),
    ("这幅画里有一个{colour}的{shape}。", "图中可以看到一个{colour}的{shape}。"),
    (
        "这个班每星期上一次课，欢迎所有人参加。", "大家试了{n}次才满意。", "只需要一支画笔、几张纸和一点耐心。",
        "整节课大约{n}分钟。", "初学者常常太着急，结果一眼就能看出来。", "编辑部欢迎读者来信。",
        "博物馆里至今还保存着{n}张这样的画。", "最难的是知道什么时候停下来。", "孩子们比父母更快明白了这个练习。",
        "每月第一个星期一免费参观。", "老师说，平静的目光比天赋更重要。", "原作属于画家的一位邻居。",
    ),
    "",
)  # fmt: skip
_JAPANESE = Language(
    ("円", "正方形", "三角形", "星", "十字", "ハート", "輪", "ひし形"),
    ("赤", "橙", "黄", "緑", "青", "紫", "桃", "黒"),
    ("絵画教室の朝", "絵から学ぶこと", "今週の一枚"),
    ("この絵には{colour}色の{shape}が描かれています。", "ここに{colour}色の{shape}が見えます。"),
    (
        "教室は毎週開かれ、だれでも参加できます。", "満足するまでに{n}回も描き直しました。",
        "必要なのは筆と紙と少しの根気だけです。", "授業は全部で{n}分ほどです。",
        "初心者は急ぎすぎて、それがすぐに絵に出ます。", "編集部は読者からの手紙を待っています。",
        "美術館には今も{n}枚の絵が残っています。", "いちばん難しいのは、やめる時を知ることです。",
        "子どもたちは親よりも早く課題を理解しました。", "毎月最初の月曜日は入場無料です。",
        "落ち着いた目は才能よりも大切だと先生は言います。", "原画は画家の隣人が持っています。",
    ),
    "",
)  # fmt: skip

LANGUAGES = MappingProxyType({
    "de": _GERMAN, "fr": _FRENCH, "es": _SPANISH, "ru": _RUSSIAN, "zh": _CHINESE, "ja": _JAPANESE,
})  # fmt: skip
"""ISO 639-1 code -> language."""
