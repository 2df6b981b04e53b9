"""Opens a page of `ddpm report` in Chromium, on a desktop and on a phone, light and dark, and clicks what can be clicked.

    python tests/peers/check_report.py --report runs/reproduce-cifar/report.html [--chromium /usr/bin/chromium] [--shots DIR]

Needs playwright (PyPI) and a Chromium: playwright's own, or one named by --chromium. Fails on any message of the console, on any
request that leaves the page, on a list that is not copied as it is shown, and on a page that is wider than its window.
"""

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

WINDOWS = {"desktop": (1280, 900), "phone": (390, 844)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--report", required=True)
    parser.add_argument("--chromium")
    parser.add_argument("--shots")
    args = parser.parse_args()
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
                if args.shots:
                    Path(args.shots).mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=f"{args.shots}/{window}-{scheme}.png", full_page=True)
                clicked = click_everything(page)
                wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
                assert wide <= 0, f"{window}: the page is {wide} pixels wider than its window"
                page.emulate_media(media="print", color_scheme=scheme)
                page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
                assert page.locator("details:not([open])").count() == 0, "something is closed on paper"
                if args.shots and window == "desktop" and scheme == "light":
                    page.pdf(path=f"{args.shots}/print.pdf")
                assert not said, said
                outside = [url for url in requests if url != address and not url.startswith("data:")]
                assert not outside, outside
                print(f"{window}, {scheme}: {clicked} clicks, no message of the console, no request")
                context.close()
        browser.close()


def click_everything(page):
    clicks = 0
    for link in page.locator("nav a").all():
        link.click()
        target = link.get_attribute("href")
        assert page.locator(target).is_visible(), target
        clicks += 1
    for summary in page.locator("summary").all():
        before = summary.evaluate("s => s.parentElement.open")
        summary.click()
        assert summary.evaluate("s => s.parentElement.open") != before
        clicks += 1
        if before:
            summary.click()
            clicks += 1
    for choice, shown in [("#count-nodes", "code.nodes"), ("#count-zero", "code.zero")]:
        if page.locator(choice).count() == 0:
            continue
        page.locator(choice).check()
        clicks += 1
        for box in page.locator(".list").all()[:8]:
            box.locator("button.copy").click()
            clicks += 1
            page.wait_for_function("b => b.textContent === 'Copied'", arg=box.locator("button").element_handle())
            assert box.locator(shown).is_visible()
            copied = page.evaluate("navigator.clipboard.readText()")
            assert copied == box.locator(shown).text_content(), copied
    return clicks


if __name__ == "__main__":
    main()
