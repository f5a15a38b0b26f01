/**
 * Tests the demo's page in Chromium. `page_slow_test.ts` runs this file in a
 * separate process, so that Playwright is loaded only there.
 */
/// <reference lib="dom" />
import assert from "node:assert/strict";
import {
  type BrowserContextOptions,
  chromium,
  type Locator,
  type Page as Tab,
} from "npm:playwright-core@1.65.1";
import { events } from "../../examples/demo/job.ts";
import { chromium as chromiumPath } from "../runtimes/install.ts";
import { Page, start } from "./start.ts";

const TOTAL = events.length;
const TEXT = events.filter(({ event }) => event === "token")
  .map(({ data }) => data).join(" ");

const CUT = { name: "Cut the connection" };
const STALL = { name: "Stall the connection" };
const KILL = { name: "Kill the server" };

const browser = await chromium.launch({
  executablePath: await chromiumPath(),
});
const server = await Page.servedBy(start(["--page"]));

/**
 * A browser tab with the demo's page, which runs at `speed` times its normal
 * speed.
 */
class Visitor implements AsyncDisposable {
  readonly tab: Tab;
  readonly #urls: string[] = [];
  readonly #errors: Error[] = [];

  static async open(
    { speed = 4, ...options }: BrowserContextOptions & { speed?: number } = {},
  ): Promise<Visitor> {
    const context = await browser.newContext(options);
    const visitor = new Visitor(await context.newPage());
    await visitor.tab.goto(`${server.url}?speed=${speed}`);
    return visitor;
  }

  private constructor(tab: Tab) {
    this.tab = tab;
    tab.setDefaultTimeout(20_000);
    tab.on("request", (request) => this.#urls.push(request.url()));
    tab.on("pageerror", (error) => this.#errors.push(error));
  }

  /** Returns the number of requests for this path. */
  requests(path: string): number {
    return this.#urls.filter((url) => new URL(url).pathname === path).length;
  }

  button({ name }: { name: string }): Locator {
    return this.tab.getByRole("button", { name });
  }

  /** Waits until the page shows this status of the connection. */
  async waitForStatus(status: string): Promise<void> {
    await this.tab.getByRole("status").filter({ hasText: status }).waitFor();
  }

  /**
   * Waits for a row of the raw events that contains this text. Returns the
   * row's text.
   */
  async waitForRow(text: string): Promise<string> {
    return await this.tab.getByRole("region", { name: "The raw events" })
      .getByRole("row").filter({ hasText: text }).first().innerText();
  }

  /**
   * Waits for the end and asserts that each event was received exactly once.
   */
  async waitForCompletion(connections: number): Promise<void> {
    await this.waitForStatus(
      `Complete: ${TOTAL} events over ${connections} connections, ` +
        "0 lost, 0 repeated.",
    );
    assert.deepEqual(
      await this.counts(),
      { received: TOTAL, lost: 0, repeated: 0, connections },
    );
    const { tab } = this;
    assert.deepEqual((await tab.locator("#text").innerText()).trim(), TEXT);
    assert.deepEqual(
      await tab.locator("tr.event td:first-child").allInnerTexts(),
      events.map(({ id }) => id),
    );
    assert.deepEqual(await tab.locator("#map .received").count(), TOTAL);
    const progress = tab.getByRole("progressbar", { name: "The job" });
    assert.deepEqual(await progress.getAttribute("value"), String(TOTAL));
    assert.deepEqual(await progress.getAttribute("max"), String(TOTAL));
  }

  async counts(): Promise<Record<string, number>> {
    const labels = await this.tab.getByRole("term").allInnerTexts();
    const counts = await this.tab.getByRole("definition").allInnerTexts();
    return Object.fromEntries(
      labels.map((label, index) => [label, Number(counts[index])]),
    );
  }

  async [Symbol.asyncDispose]() {
    await this.tab.context().close();
    assert.deepEqual(this.#errors, []);
    for (const url of this.#urls) assert(url.startsWith(server.url), url);
  }
}

Deno.test.afterAll(async () => {
  await browser.close();
  await server[Symbol.asyncDispose]();
});

const CASES = [
  { button: CUT, error: "✕ network: Expected more events" },
  { button: STALL, error: "✕ idle-timeout: Expected a byte" },
  { button: KILL, error: "✕ status: Expected a status of 2xx, got 503" },
];

for (const { button, error } of CASES) {
  Deno.test(`"${button.name}" interrupts the stream, which resumes after the last event`, async () => {
    await using visitor = await Visitor.open({ speed: 10 });
    await visitor.waitForStatus("Connection 1 is open.");
    await visitor.waitForRow("number.");
    await visitor.button(button).click();
    await visitor.waitForRow("You ");
    await visitor.waitForRow(error);
    await visitor.waitForRow("attempt 1 in 0.");
    const opened = await visitor.waitForRow("✓ connection 2, Last-Event-ID: ");
    const id = opened.match(/\d+$/)![0];
    await visitor.waitForStatus("Connection 2 is open.");
    await visitor.waitForRow(`: going on after ${id}`);
    await visitor.waitForRow("retry: 100");
    await visitor.waitForCompletion(2);
  });
}

Deno.test("a fault of one visitor's stream does not affect another visitor", async () => {
  await using breaking = await Visitor.open();
  await using watching = await Visitor.open();
  await watching.waitForStatus("Connection 1 is open.");
  await breaking.button(CUT).click();
  await breaking.waitForStatus("Connection 2 is open.");
  await breaking.button(KILL).click();
  await Promise.all([
    breaking.waitForCompletion(3),
    watching.waitForCompletion(1),
  ]);
});

Deno.test("the page counts lost and repeated events", async () => {
  await using visitor = await Visitor.open();
  const ids = [1, 2, 4, 4, 5];
  const body = ids.map((id) =>
    `id: ${id}\nevent: ${id < 5 ? "progress" : "done"}\n` +
    `data: ${JSON.stringify({ done: id, total: 5 })}\n\n`
  ).join("");
  await visitor.tab.route(
    "**/events*",
    (route) => route.fulfill({ contentType: "text/event-stream", body }),
  );
  await visitor.tab.reload();
  await visitor.waitForStatus(
    "4 events over 1 connections, 1 lost, 1 repeated.",
  );
  assert.deepEqual(
    await visitor.counts(),
    { received: 4, lost: 1, repeated: 1, connections: 1 },
  );
});

Deno.test('the page reconnects at once on "online"', async () => {
  await using visitor = await Visitor.open({ speed: 10 });
  await visitor.waitForStatus("Connection 1 is open.");
  await visitor.tab.evaluate(() => dispatchEvent(new Event("online")));
  await visitor.waitForStatus("Connection 2 is open.");
  await visitor.waitForCompletion(2);
});

Deno.test('"Start over" restarts the stream with the first connection', async () => {
  await using visitor = await Visitor.open();
  await visitor.button(CUT).click();
  await visitor.waitForStatus("Connection 2 is open.");
  await visitor.tab.getByRole("link", { name: "Start over" }).click();
  await visitor.waitForStatus("Connection 1 is open.");
  assert.deepEqual((await visitor.counts()).connections, 1);
});

/** Returns whether the last row of the raw events is in view. */
function isLastRowInView(): boolean {
  const list = document.querySelector("#raw")!.getBoundingClientRect();
  const row = document.querySelector("#rows")!.lastElementChild!
    .getBoundingClientRect();
  return row.top < list.bottom && row.bottom > list.top;
}

Deno.test("the page can be used with a keyboard", async () => {
  await using visitor = await Visitor.open();
  const { tab } = visitor;
  const focused = (locator: Locator) =>
    locator.evaluate((element) =>
      element === document.activeElement &&
      getComputedStyle(element).outlineStyle !== "none"
    );
  await visitor.waitForStatus("Connection 1 is open.");
  await tab.keyboard.press("Tab");
  assert(await focused(visitor.button(CUT)));
  await tab.keyboard.press("Space");
  await visitor.waitForStatus("Connection 2 is open.");
  await tab.keyboard.press("Tab");
  await tab.keyboard.press("Enter");
  await visitor.waitForStatus("You stalled the connection");
  // The button keeps the focus, but does nothing until there is a connection.
  assert(await focused(visitor.button(STALL)));
  assert.deepEqual(
    await visitor.button(STALL).getAttribute("aria-disabled"),
    "true",
  );
  await tab.keyboard.press("Enter");
  await visitor.waitForStatus("Connection 3 is open.");
  assert.deepEqual(visitor.requests("/stall"), 1);

  await tab.keyboard.press("Tab");
  assert(await focused(visitor.button(KILL)));
  await tab.keyboard.press("Space");
  await visitor.waitForStatus("Connection 4 is open.");
  await tab.keyboard.press("Tab");
  assert(await focused(tab.getByRole("link", { name: "Start over" })));
  await tab.keyboard.press("Tab");
  const raw = tab.getByRole("region", { name: "The raw events" });
  assert(await focused(raw));
  // The last row stays in view until the user scrolls away.
  assert(await tab.evaluate(isLastRowInView));
  await tab.keyboard.press("Home");
  await tab.waitForFunction(`!(${isLastRowInView})()`);
  await visitor.waitForCompletion(4);
  assert(!await tab.evaluate(isLastRowInView));
  await tab.keyboard.press("Tab");
  await tab.keyboard.press("Enter");
  assert.match(
    await tab.locator("#code").innerText(),
    /^async function read\(url\) \{\n {2}const sse .*\n\}$/s,
  );
});

/** Returns the lowest contrasts of text and squares with their background. */
function lowestContrasts() {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {
    willReadFrequently: true,
  })!;
  const luminance = (color: string) => {
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = Array.from(
      canvas.getImageData(0, 0, 1, 1).data,
      (it) =>
        it / 255 <= 0.04045
          ? it / 255 / 12.92
          : ((it / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a: string, b: string) => {
    const [low, high] = [luminance(a), luminance(b)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const backgroundOf = (element: Element | null): string => {
    if (element === null) return "white";
    const { backgroundColor } = getComputedStyle(element);
    return /, 0\)$/.test(backgroundColor)
      ? backgroundOf(element.parentElement)
      : backgroundColor;
  };
  let text = Infinity;
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some(({ nodeType, textContent }) =>
      nodeType === Node.TEXT_NODE && textContent!.trim() !== ""
    );
    if (!hasText) continue;
    const { color } = getComputedStyle(element);
    text = Math.min(text, contrast(color, backgroundOf(element)));
  }
  let squares = Infinity;
  for (const element of document.querySelectorAll("#map .received")) {
    const { backgroundColor } = getComputedStyle(element);
    squares = Math.min(
      squares,
      contrast(backgroundColor, backgroundOf(element.parentElement)),
    );
  }
  return { text, squares, page: luminance(backgroundOf(document.body)) };
}

Deno.test("the page has sufficient contrast in light and dark mode", async () => {
  await Promise.all((["light", "dark"] as const).map(async (colorScheme) => {
    await using visitor = await Visitor.open({ colorScheme });
    for (const connection of [1, 2, 3, 4]) {
      await visitor.waitForStatus(`Connection ${connection} is open.`);
      await visitor.button(CUT).click();
    }
    await visitor.waitForCompletion(5);
    const { text, squares, page } = await visitor.tab.evaluate(lowestContrasts);
    assert(text >= 4.5, `The lowest contrast of text is ${text}`);
    assert(squares >= 3, `The lowest contrast of squares is ${squares}`);
    assert(colorScheme === "dark" ? page < 0.05 : page > 0.8, `${page}`);
  }));
});

Deno.test("the page fits on a phone and has buttons that are large enough", async () => {
  await Promise.all([320, 390].map(async (width) => {
    await using visitor = await Visitor.open({
      viewport: { width, height: 700 },
      hasTouch: true,
      isMobile: true,
    });
    await visitor.waitForStatus("Connection 1 is open.");
    for (const button of [CUT, STALL, KILL]) {
      const { height } = (await visitor.button(button).boundingBox())!;
      assert(height >= 44, `${button.name} is ${height} px high`);
    }
    await visitor.button(KILL).tap();
    await visitor.waitForRow("status: Expected a status");
    await visitor.waitForCompletion(2);
    const scrollWidth = await visitor.tab.evaluate(() =>
      document.documentElement.scrollWidth
    );
    assert.deepEqual(scrollWidth, width);
  }));
});

Deno.test("the page hides its animation if reduced motion is preferred", async () => {
  for (const reducedMotion of ["reduce", "no-preference"] as const) {
    await using visitor = await Visitor.open({ reducedMotion });
    await visitor.waitForStatus("Connection 1 is open.");
    await visitor.button(STALL).click();
    assert.deepEqual(
      await visitor.tab.locator("#wait").isVisible(),
      reducedMotion === "no-preference",
    );
  }
});
