"""Opens a page of `ddpm report` in Chromium, on a desktop and on a phone, light and dark, and clicks what can be clicked.

    python tests/peers/check_report.py --report runs/reproduce-cifar/report.html [--chromium /usr/bin/chromium] [--shots DIR]

Needs playwright (PyPI) and a Chromium: playwright's own, or one named by --chromium. Fails on any message of the console, on any
request that leaves the page, on a list that is not copied as it is shown, on a page that is wider than its window, on text that
hardly differs from what lies behind it, on figures that are light on a dark page, on dark ink on paper that is not white, and on more
than eight pages of paper.
"""

import argparse
import re
from pathlib import Path

from playwright.sync_api import sync_playwright

WINDOWS = {"desktop": (1280, 900), "phone": (390, 844)}
# The least contrast of WCAG 2.1, level AA.
CONTRAST = 4.5
MOST_PAGES = 8

# Text that is shown, with its contrast to the colours behind it.
CONTRASTS = """() => {
  const numbers = colour => { const c = colour.match(/[\\d.]+/g).map(Number); return c.length < 4 ? [...c, 1] : c; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = colour => {
    const [r, g, b] = colour.map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) { layers.push(numbers(getComputedStyle(e).backgroundColor)); }
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, text = node.textContent.trim();
    if (!text || ['SCRIPT', 'STYLE'].includes(element.tagName) || !element.checkVisibility()) { continue; }
    const style = getComputedStyle(element), below = behind(element);
    const ink = over(numbers(element.closest('svg') ? style.fill : style.color), below);
    const [a, b] = [light(ink), light(below)].sort((x, y) => y - x);
    found.push([text.slice(0, 60), (a + 0.05) / (b + 0.05)]);
  }
  return found;
}"""

# Marks and lines of the figures, against the page.
FIGURES = """() => Array.from(document.querySelectorAll('svg rect, svg path, svg polyline, svg line'), shape => {
  const style = getComputedStyle(shape);
  return [style.fill, style.stroke];
}).flat().filter(colour => colour.startsWith('rgb'))"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--report", required=True)
    parser.add_argument("--chromium")
    parser.add_argument("--shots")
    args = parser.parse_args()
    shots = Path(args.shots) if args.shots else None
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    address = Path(args.report).resolve().as_uri()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        for window, (width, height) in WINDOWS.items():
            for scheme in ["light", "dark"]:
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
                context.grant_permissions(["clipboard-read", "clipboard-write"])
                page = context.new_page()
                said, requests = [], []
                page.on("console", lambda message: said.append(message.text))
                page.on("pageerror", lambda error: said.append(str(error)))
                page.on("request", lambda request: requests.append(request.url))
                page.goto(address)
                check_pages(page, name)
                if shots:
                    page.screenshot(path=shots / f"{window}-{scheme}.png", full_page=True)
                name = f"{window}, {scheme}"
                check_width(page, name)
                clicked = click_everything(page)
                page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
                check_width(page, f"{name}, all open")
                check_scrollers(page, name)
                least = check_colours(page, scheme, name)
                page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false; })")
                check_paper(page, scheme)
                if shots and window == "desktop":
                    page.pdf(path=shots / f"print-{scheme}.pdf", format="A4", print_background=True)
                assert not said, said
                outside = [url for url in requests if url != address and not url.startswith("data:")]
                assert not outside, outside
                print(f"{name}: {clicked} clicks, no message of the console, no request, least contrast {least:.1f}")
                context.close()
        check_without_script(browser, address)
        browser.close()


def click_everything(page):
    """Every link, everything that opens, both ways of counting, and every button; returns how many clicks that were."""
    clicks = 0
    for link in page.locator("nav a").all():
        link.click()
        target = link.get_attribute("href")
        assert page.locator(target).is_visible(), target
        # What was asked for lies in the window, below the links that stay on top.
        top, bottom = page.evaluate(
            "t => [document.querySelector(t + ' h2').getBoundingClientRect().top, document.querySelector('nav').getBoundingClientRect().bottom]", target
        )
        assert bottom - 1 <= top <= page.viewport_size["height"], f"{target} lies at {top}, the links end at {bottom}"
        clicks += 1
    for summary in page.locator("summary").all():
        before = summary.evaluate("s => s.parentElement.open")
        for expected in (not before, before, True):
            if summary.evaluate("s => s.parentElement.open") != expected:
                summary.click()
                clicks += 1
            assert summary.evaluate("s => s.parentElement.open") == expected
    for choice, shown in [("#count-nodes", "code.nodes"), ("#count-zero", "code.zero")]:
        if page.locator(choice).count() == 0:
            continue
        page.locator(choice).check()
        clicks += 1
        for box in page.locator(".list").all():
            button = box.locator("button.copy")
            page.evaluate("() => { document.getElementById('said').textContent = ''; return navigator.clipboard.writeText(''); }")
            button.click()
            clicks += 1
            # What is said to those who do not see stays; the button goes back to its word, on a busy machine before one looks.
            page.wait_for_function("() => document.getElementById('said').textContent === 'Copied'")
            assert box.locator(shown).is_visible()
            copied = page.evaluate("navigator.clipboard.readText()")
            assert copied == box.locator(shown).text_content(), copied
            numbers = [int(n) for n in re.findall(r"\d+", copied)]
            assert numbers == sorted(numbers, reverse=shown == "code.zero") and len(set(numbers)) == len(numbers), copied
    for button in page.locator("button.copy").all()[-1:]:
        page.wait_for_function("b => b.textContent === 'Copy'", arg=button.element_handle())
        # The page itself keeps the button's words: looking from here could be too late.
        button.evaluate("b => { b.words = []; new MutationObserver(() => b.words.push(b.textContent)).observe(b, { childList: true }); }")
        button.click()
        clicks += 1
        page.wait_for_function("b => b.words.at(-1) === 'Copy'", arg=button.element_handle())
        words = button.evaluate("b => b.words")
        assert words == ["Copied", "Copy"], words
    others = page.locator("button:not(.copy), select, input:not(#count-nodes):not(#count-zero)").count()
    assert others == 0, f"{others} things that nothing here clicks"
    return clicks


def check_width(page, name):
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, f"{name}: the page is {wide} pixels wider than its window"


def check_scrollers(page, name):
    """What is wider than the page can be moved, with the keyboard too."""
    for box in page.locator(".wide").all():
        hidden, focus = box.evaluate("b => [b.scrollWidth - b.clientWidth, b.tabIndex]")
        if hidden > 0:
            assert focus == 0, f"{name}: a table that the keyboard cannot move"
            assert box.evaluate("b => { b.scrollLeft = 1e6; const at = b.scrollLeft; b.scrollLeft = 0; return at; }") > 0


def check_colours(page, scheme, name):
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 50, "hardly any text"
    faint = [found for found in contrasts if found[1] < CONTRAST]
    assert not faint, f"{name}: faint text: {faint[:5]}"
    if scheme == "dark":
        white = [c for c in page.evaluate(FIGURES) if re.match(r"rgba?\(255, 255, 255", c)]
        assert not white, f"{name}: figures keep their white"
    return min(contrast for _, contrast in contrasts)


def check_pages(page, name):
    """As the page opens, it is printed on few sheets."""
    pages = len(re.findall(rb"/Type\s*/Page\b(?!s)", page.pdf(format="A4", print_background=True)))
    assert 0 < pages <= MOST_PAGES, f"{name}: printed on {pages} pages, expected at most {MOST_PAGES}"


def check_paper(page, scheme):
    """Few pages, dark on white whatever the screen was, without what is closed: that lies beside the page as files."""
    page.emulate_media(media="print", color_scheme=scheme)
    assert all(not e.is_visible() for e in page.locator("details:not([open])").all()), "something closed is printed"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    faint = [found for found in page.evaluate(CONTRASTS) if found[1] < CONTRAST]
    assert not faint, f"faint on paper: {faint[:5]}"
    for unwanted in ("nav", "button.copy", ".choice"):
        assert all(not e.is_visible() for e in page.locator(unwanted).all()), f"{unwanted} is printed"
    page.emulate_media(media="null", color_scheme=scheme)


def check_without_script(browser, address):
    """Lists can be read and chosen without any script; buttons that would do nothing are not there."""
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(address)
    assert page.locator("h1").is_visible()
    for box in page.locator(".list").all()[:1]:
        assert box.locator("code.zero").is_visible() and not box.locator("button").is_visible()
        page.locator("#count-nodes").check()
        assert box.locator("code.nodes").is_visible() and not box.locator("code.zero").is_visible()
    print("without scripts: lists are shown, buttons are not")


if __name__ == "__main__":
    main()
