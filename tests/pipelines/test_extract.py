"""HTML to an interleaved document: reading order, images, captions, boilerplate, text form, encodings."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from infimm_data.document import Document, TextNode
from pipelines.extract import decode_html, extract_html
from pipelines.weights.gold_pages import GoldPage, file_name, read_pages, word_f1

URL = "http://a.b/dir/page.html"
LONG = "The red circle stands left of the blue square, and the green triangle lies below both of them. "


def extract(html: str) -> Document:
    document = extract_html(html.encode(), URL, captions_in_text=True)
    assert document is not None
    return document


def flow(html: str) -> list[str]:
    """Text as it is, an image as <its URL>."""
    nodes = extract(html).nodes
    return [node.text if isinstance(node, TextNode) else f"<{node.url}>" for node in nodes]


# --- reading order and text form ---


def test_text_and_images_stand_in_reading_order() -> None:
    html = "<h1>Title</h1><p>One<img src=1.png>two</p><p>Three</p><img src=2.png><p>Four</p>"
    assert flow(html) == [
        "Title\n\nOne",
        "<http://a.b/dir/1.png>",
        "two\n\nThree",
        "<http://a.b/dir/2.png>",
        "Four",
    ]


def test_white_space_folds_and_invisible_characters_go() -> None:
    assert flow("<p>a\u00a0 b\n\t c&#8203;d&shy;e&#1;f\ufeff</p>") == ["a b cdef"]


def test_text_is_nfc() -> None:
    assert flow("<p>cafe\u0301</p>") == ["caf\u00e9"]


def test_nul_characters_go() -> None:
    assert flow("<p>a\0b</p>") in (["ab"], ["a\ufffdb"])


def test_inline_elements_do_not_split_words() -> None:
    assert flow("<p>un<b>believ</b>able <i>and</i> <a href=x>so</a>.</p>") == ["unbelievable and so."]


def test_one_line_break_stays_and_two_are_a_paragraph() -> None:
    assert flow("<p>a<br>b<br><br>c</p>") == ["a\nb\n\nc"]


def test_list_items_are_lines_with_a_dash() -> None:
    assert flow("<p>Before</p><ul><li>one<li>two</ul><p>After</p>") == ["Before\n\n- one\n- two\n\nAfter"]


def test_table_rows_are_lines_with_cells_apart() -> None:
    html = "<table><tr><th>Shape<th>Colour</tr><tr><td>circle<td>red</tr></table>"
    assert flow(html) == ["Shape | Colour\ncircle | red"]


def test_a_table_for_layout_keeps_its_paragraphs() -> None:
    assert flow("<table><tr><td><p>One</p><p>Two</p><td><p>Three</p></table>") == ["One\n\nTwo\n\nThree"]


def test_code_keeps_its_line_breaks_and_indentation() -> None:
    assert flow("<p>See:</p><pre><code>if x:\n    y()\n\tz()</code></pre>") == ["See:\n\nif x:\n    y()\n    z()"]


def test_a_quote_is_text() -> None:
    assert flow("<blockquote>Seen by all.</blockquote>") == ["Seen by all."]


@pytest.mark.parametrize("html", ["", "<html></html>", "<p> &nbsp; </p>", "<script>x</script>", "\0\0\0"])
def test_a_page_without_content_is_none(html: str) -> None:
    assert extract_html(html.encode(), URL) is None


def test_unclosed_and_crossed_tags_lose_no_text() -> None:
    assert flow("<div><p>one<b>two<p>three</b>four<div>five") == ["onetwo\n\nthreefour\n\nfive"]


# --- images ---


@pytest.mark.parametrize(
    ("tag", "url"),
    [
        ('<img src="x.png">', "http://a.b/dir/x.png"),
        ('<img src="../x.png#part">', "http://a.b/x.png"),
        ('<img src="//c.d/x.png">', "http://c.d/x.png"),
        ('<img src="?id=3">', "http://a.b/dir/page.html?id=3"),
        ('<img src=" x y.png ">', "http://a.b/dir/x%20y.png"),
        ('<img src=s.png srcset="a.png 100w, b.png 800w, c.png 400w">', "http://a.b/dir/b.png"),
        ('<img src=s.png srcset="a.png, b.png 2x">', "http://a.b/dir/b.png"),
        ('<img srcset="w_1,h_2/a.png 1x,w_3,h_4/b.png 2x">', "http://a.b/dir/w_3,h_4/b.png"),
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" data-src=real.png>', "http://a.b/dir/real.png"),
        ("<img src=spacer.gif data-original=real.png>", "http://a.b/dir/real.png"),
        ("<img src=tiny.png data-lazy-src=real.png>", "http://a.b/dir/real.png"),
        ('<img src=tiny.png data-srcset="a.png 1x, b.png 3x">', "http://a.b/dir/b.png"),
        ('<picture><source srcset="big.webp 900w"><img src=x.png></picture>', "http://a.b/dir/big.webp"),
        ('<picture><source srcset="big.webp"><img src=x.png srcset="y.png 2x"></picture>', "http://a.b/dir/y.png"),
    ],
)
def test_the_source_of_an_image(tag: str, url: str) -> None:
    assert [image.url for image in extract(tag).images] == [url]


@pytest.mark.parametrize(
    "name",
    [
        "gray-wolf.jpg",
        "the-lazy-dog.jpg",
        "earl-grey-tea.jpg",
        "clear-creek-canyon.jpg",
        "google-pixel.jpg",
        "empty-nest.png",
    ],
)
def test_a_photo_is_not_lost_for_a_word_in_its_name(name: str) -> None:
    assert [image.url for image in extract(f"<p>Before</p><img src='/img/{name}'>").images] == [
        f"http://a.b/img/{name}"
    ]


@pytest.mark.parametrize(
    "name",
    ["spacer.gif", "blank.png", "placeholder-600x400.png", "lazy_placeholder.gif", "1x1.gif", "transparent.png?v=2"],
)
def test_a_file_that_says_it_is_a_placeholder_is_no_image(name: str) -> None:
    assert extract(f"<p>Before the image stands a text.</p><img src='/img/{name}'>").images == ()


def test_a_base_element_moves_relative_addresses() -> None:
    html = '<head><base href="/other/"></head><img src=x.png>'
    assert flow(html) == ["<http://a.b/other/x.png>"]


@pytest.mark.parametrize(
    "tag",
    [
        "<img>",
        "<img src=''>",
        "<img src='javascript:x()'>",
        "<img src='http://[bad/x.png'>",
        "<img src='http://a.b:port/x.png'>",
        "<img src=x.png width=1 height=1>",
        "<img src=x.png style='display: none'>",
        "<img src=e.png class=emoji>",
        "<img src=icon.png width=16 height=16>",
        "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>",
        "<img src='data:text/html,<p>x'>",
    ],
)
def test_what_is_no_picture_is_left_out(tag: str) -> None:
    assert flow(f"<p>before {tag} after</p>") == ["before after"]


def test_a_data_uri_that_holds_an_image_is_kept() -> None:
    uri = "data:image/png;base64," + "A" * 600
    assert flow(f"<img src='{uri}'>") == [f"<{uri}>"]


def test_an_image_knows_alt_and_size_and_alt_is_no_text() -> None:
    (node,) = extract('<img src=x.png alt=" a  red\ncircle" width="300px" height="50%">').nodes
    assert (node.alt, node.width, node.height) == ("a red circle", 300, None)


def test_a_noscript_copy_is_not_doubled() -> None:
    html = "<img class=lazy data-src=x.png><noscript><img src=x.png></noscript><p>end</p>"
    assert flow(html) == ["<http://a.b/dir/x.png>", "end"]


def test_a_noscript_copy_replaces_a_small_preview() -> None:
    html = "<figure><div><img src=x-60.jpg></div><noscript><img src=x-2000.jpg></noscript></figure>"
    assert flow(html) == ["<http://a.b/dir/x-2000.jpg>"]


def test_an_image_only_in_noscript_is_found_but_its_text_is_not_read() -> None:
    html = f"<p>{LONG}</p><noscript><img src=x.png>Please enable scripts</noscript>"
    assert flow(html) == [LONG.strip(), "<http://a.b/dir/x.png>"]


# --- captions ---


@pytest.mark.parametrize(
    "figure",
    [
        "<figure><img src=x.png><figcaption>A red <b>circle</b></figcaption></figure>",
        "<figure><figcaption><p>A red circle</p></figcaption><img src=x.png></figure>",
        "<div class=wp-caption><img src=x.png><p class=wp-caption-text>A red circle</p></div>",
        "<div class=thumb><div class=thumbinner><img src=x.png><div class=thumbcaption>A red circle</div></div></div>",
    ],
)
def test_a_caption_is_noted_and_stands_right_after_its_image(figure: str) -> None:
    document = extract(f"<p>Before</p>{figure}<p>After</p>")
    assert flow(f"<p>Before</p>{figure}<p>After</p>") == ["Before", "<http://a.b/dir/x.png>", "A red circle\n\nAfter"]
    assert document.images[0].caption == "A red circle"


def test_captions_can_be_left_out_of_the_text() -> None:
    html = "<p>Before</p><figure><img src=x.png><figcaption>A red circle</figcaption></figure><p>After</p>"
    document = extract_html(html.encode(), URL)
    assert document is not None
    assert [text.text for text in document.texts] == ["Before", "After"]
    assert document.images[0].caption == "A red circle"


def test_each_image_of_a_gallery_has_its_own_caption() -> None:
    inner = "".join(f"<figure><img src={n}.png><figcaption>No. {n}</figcaption></figure>" for n in (1, 2))
    document = extract(f"<figure>{inner}<figcaption>Both</figcaption></figure>")
    assert [image.caption for image in document.images] == ["No. 1", "No. 2"]
    assert document.texts[-1].text == "No. 2\n\nBoth"


def test_a_figcaption_without_image_is_text() -> None:
    assert flow("<figure><figcaption>Alone</figcaption></figure>") == ["Alone"]


# --- boilerplate ---


@pytest.mark.parametrize(
    "boilerplate",
    [
        "<nav>Home News Sport</nav>",
        "<header>The Daily Shape</header>",
        "<footer>All rights reserved</footer>",
        "<aside>Elsewhere</aside>",
        "<div role=navigation>Home News</div>",
        "<div class='cookie-banner'>We use cookies</div>",
        "<div id=sidebar>Other things</div>",
        "<ul class='social-share'><li>Tweet</ul>",
        "<section class=comments><p>First!</p></section>",
        "<div class=related-posts><p>More shapes</p></div>",
        "<div hidden>Not shown</div>",
        "<div style='display:none'>Not shown</div>",
        "<p style='visibility: hidden'>Not shown</p>",
        "<script>var x</script><style>p{}</style><template><p>t</p></template>",
        "<select><option>One</select><button>Send</button><textarea>Type</textarea>",
        "<ul><li><a href=1>One link</a><li><a href=2>Two links</a></ul>",
        "<!-- a comment -->",
    ],
)
@pytest.mark.parametrize("page", ["<body>{0}<p>{1}</p></body>", "<body><div id=content><p>{1}</p></div>{0}</body>"])
def test_boilerplate_goes(boilerplate: str, page: str) -> None:
    assert flow(page.format(boilerplate, LONG * 3)) == [(LONG * 3).strip()]


def test_a_main_element_is_preferred() -> None:
    assert flow(f"<div><p>{LONG}</p></div><main><p>{LONG * 3}</p></main>") == [(LONG * 3).strip()]


def test_the_header_of_an_article_stays() -> None:
    assert flow(f"<article><header><h1>Shapes</h1></header><p>{LONG}</p></article>") == [f"Shapes\n\n{LONG.strip()}"]


@pytest.mark.parametrize("name", ["sidebar", "menu", "comments", "widget"])
def test_a_region_that_holds_the_text_stays_whatever_its_name(name: str) -> None:
    assert flow(f"<div class={name}><p>{LONG * 3}</p></div><p>Short.</p>")[0].startswith("The red circle")


def test_a_region_kept_in_spite_of_its_name_does_not_save_others() -> None:
    assert flow(f"<div class=menu>Home</div><div class=sidebar><p>{LONG * 3}</p></div>") == [(LONG * 3).strip()]


def test_a_page_of_links_only_keeps_them() -> None:
    links = "".join(f"<li><a href={n}>Shape number {n}</a>" for n in range(3))
    assert flow(f"<ul>{links}</ul>") == ["- Shape number 0\n- Shape number 1\n- Shape number 2"]


def test_a_page_that_is_all_noscript_is_read() -> None:
    assert flow(f"<body><noscript><p>{LONG}</p></noscript></body>") == [LONG.strip()]


def test_images_in_dropped_regions_go_too() -> None:
    assert flow(f"<nav><img src=logo.png></nav><p>{LONG}</p>") == [LONG.strip()]


# --- origin ---


def test_the_origin_names_url_and_licence() -> None:
    html = '<link rel=license href="https://creativecommons.org/licenses/by/4.0/"><p>x</p>'
    origin = extract(html).origin
    assert (origin.url, origin.licence) == (URL, "https://creativecommons.org/licenses/by/4.0/")


def test_equal_pages_give_equal_documents() -> None:
    html = f"<p>{LONG}</p><img src=x.png>"
    assert extract(html) == extract(html)


# --- encodings ---

CYRILLIC = "Красный круг стоит слева от синего квадрата. " * 4


@pytest.mark.parametrize(
    ("html", "charset"),
    [
        (CYRILLIC.encode("koi8-r"), "koi8-r"),
        (b"\xef\xbb\xbf" + CYRILLIC.encode(), "windows-1251"),
        (CYRILLIC.encode("utf-16"), None),
        (b"<meta charset=windows-1251>" + CYRILLIC.encode("windows-1251"), None),
        (b'<meta http-equiv=x content="text/html; charset=koi8-r">' + CYRILLIC.encode("koi8-r"), None),
        (b'<?xml version="1.0" encoding="koi8-r"?>' + CYRILLIC.encode("koi8-r"), None),
        (b"<meta charset=utf-16>" + CYRILLIC.encode(), None),
        (b"<meta charset=no-such-thing>" + CYRILLIC.encode(), None),
        (CYRILLIC.encode("windows-1251"), None),
        (CYRILLIC.encode("windows-1251"), "utf-8"),
        (CYRILLIC.encode(), None),
    ],
    ids=["http", "bom", "utf16", "meta", "meta-http", "xml", "utf16-lie", "unknown", "detected", "utf8-lie", "utf8"],
)
def test_encodings_are_found(html: bytes, charset: str | None) -> None:
    assert decode_html(html, charset).endswith(CYRILLIC)


def test_undecodable_bytes_become_replacement_characters() -> None:
    assert "\ufffd" in decode_html(b"<meta charset=utf-8><p>abc \xff\xfe\xfa def caf\xc3\xa9 " + b"\x81" * 3)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("赤い円は青い四角の左にあり、緑の三角形はその両方の下にある。" * 4, "shift_jis"),
        ("赤い円は青い四角の左にあり、緑の三角形はその両方の下にある。" * 4, "euc-jp"),
        ("红色的圆在蓝色的正方形的左边,绿色的三角形在它们的下面。" * 4, "gb18030"),
        ("紅色的圓在藍色的正方形的左邊,綠色的三角形在它們的下面。" * 4, "big5"),
        ("빨간 원은 파란 사각형의 왼쪽에 있고 초록 삼각형은 그 아래에 있다. " * 4, "euc-kr"),
        ("Η κόκκινη περιφέρεια είναι αριστερά από το μπλε τετράγωνο. " * 4, "iso-8859-7"),
        ("Der rote Kreis steht links über dem größeren „Quadrat“. " * 4, "windows-1252"),
    ],
)
def test_a_declared_encoding_is_obeyed(text: str, encoding: str) -> None:
    assert decode_html(f"<meta charset={encoding}>".encode() + text.encode(encoding)).endswith(text)
    assert decode_html(text.encode(encoding), encoding) == text


# --- scripts and writing directions ---

WRITINGS = {
    "arabic": "تقع الدائرة الحمراء إلى يسار المربع الأزرق، ويقع المثلث الأخضر تحتهما معا. ",
    "hebrew": "העיגול האדום עומד משמאל לריבוע הכחול, והמשולש הירוק נמצא מתחת לשניהם. ",
    "japanese": "赤い円は青い四角の左にあり、緑の三角形はその両方の下にある。",
    "chinese": "红色的圆在蓝色的正方形的左边，绿色的三角形在它们的下面。",
    "thai": "วงกลมสีแดงอยู่ทางซ้ายของสี่เหลี่ยมสีน้ำเงิน และสามเหลี่ยมสีเขียวอยู่ด้านล่าง ",
    "hindi": "लाल वृत्त नीले वर्ग के बाईं ओर है, और हरा त्रिभुज दोनों के नीचे है। ",
}


@pytest.mark.parametrize("text", WRITINGS.values(), ids=WRITINGS)
def test_text_of_any_writing_is_kept_in_logical_order_and_its_menu_goes(text: str) -> None:
    menu = "".join(f"<li><a href=/{n}>{text[:8]}</a></li>" for n in range(6))
    html = (
        f"<html dir=auto><body><nav><ul>{menu}</ul></nav><article><p>{text * 4}</p><p>{text * 5}</p></article></body>"
    )
    assert flow(html) == [f"{(text * 4).strip()}\n\n{(text * 5).strip()}"]


def test_formulas_and_code_stay_in_their_place() -> None:
    formula = '<script type="math/tex">x^2</script>'
    html = f"<article><p>{LONG} Let {formula} be.</p><pre>y = x ** 2\nprint(y)</pre><p>{LONG}</p></article>"
    assert flow(html) == [f"{LONG.strip()} Let $x^2$ be.\n\ny = x ** 2\nprint(y)\n\n{LONG.strip()}"]


def test_a_table_among_text_keeps_its_rows() -> None:
    table = "<table><tr><th>Shape<th>Colour</tr><tr><td>circle<td>red</tr><tr><td>square<td>blue</tr></table>"
    html = f"<article><p>{LONG * 2}</p>{table}<p>{LONG * 2}</p></article>"
    assert "Shape | Colour\ncircle | red\nsquare | blue" in flow(html)[0]


# --- real pages ---

FUNDUS = Path(__file__).resolve().parents[2] / "../shared/data"


@pytest.fixture(scope="module")
def news() -> list[tuple[GoldPage, Document]]:
    """Every sixth news page of html_fundus with what we make of it."""
    pages = read_pages(FUNDUS, "fundus")[::6]
    if not pages:
        pytest.skip(f"html_fundus is not beside the checkout ({FUNDUS})")
    return [(page, document) for page in pages if (document := extract_html(page.html, page.url)) is not None]


def test_real_news_pages_give_their_article(news: list[tuple[GoldPage, Document]]) -> None:
    scores = [word_f1("\n\n".join(text.text for text in document.texts), page.text or "") for page, document in news]
    assert len(scores) == 21
    assert sum(scores) / len(scores) > 0.9


def test_real_news_pages_give_their_pictures(news: list[tuple[GoldPage, Document]]) -> None:
    found = {(page.name, file_name(image.url)) for page, document in news for image in document.images}
    wanted = [{(page.name, name) for name in image.names} for page, _ in news for image in page.images or ()]
    assert sum(bool(names & found) for names in wanted) / len(wanted) > 0.8


@pytest.mark.parametrize("is_collecting", [True, False])
def test_the_garbage_collector_is_left_as_found(is_collecting: bool) -> None:
    (gc.enable if is_collecting else gc.disable)()
    try:
        assert extract_html(b"<p>A red circle.", URL) is not None
        assert gc.isenabled() is is_collecting
        with pytest.raises(ZeroDivisionError):
            extract_html(b"<img src=x.png>", URL, is_stored=lambda _: bool(1 / 0))
        assert gc.isenabled() is is_collecting
    finally:
        gc.enable()


def test_a_page_leaves_no_cycles_behind() -> None:
    page = b"<main><h1>Shapes</h1><figure><img src=x.png><figcaption>A circle.</figcaption></figure><p>A square." * 20
    extract_html(page, URL)
    gc.collect()
    gc.disable()
    try:
        extract_html(page, URL)
        assert gc.collect() == 0
    finally:
        gc.enable()
