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
import { handler, onError } from "../../examples/demo/server.ts";
import { chromium as chromiumPath } from "../runtimes/install.ts";
import { Page, start } from "./start.ts";

const TOTAL = events.length;
const TEXT = events.filter(({ event }) => event === "token")
  .map(({ data }) => data).join(" ");

const CUT = { name: "Cut the connection" };
const STALL = { name: "Stall the connection" };
const KILL = { name: "Kill the server" };
const START_OVER = { name: "Start over" };

const RAW = "Raw events of connectSse";
const LOG = "Connections and failures";

type Reader = "connectSse" | "fetch";

const browser = await chromium.launch({
  executablePath: await chromiumPath(),
});
const server = await Page.servedBy(start(["--page"]));

/**
 * A browser tab with the demo's page, which runs at `speed` times its normal
 * speed. At more than 4, a browser under load is too slow to see each state.
 */
class Visitor implements AsyncDisposable {
  readonly tab: Tab;
  readonly #serverUrl: string;
  readonly #urls: string[] = [];
  readonly #errors: Error[] = [];

  static async open(
    { speed = 4, url = server.url, ...options }:
      & BrowserContextOptions
      & { speed?: number; url?: string } = {},
  ): Promise<Visitor> {
    const context = await browser.newContext(options);
    const visitor = new Visitor(await context.newPage(), url);
    await visitor.tab.goto(`${url}?speed=${speed}`);
    return visitor;
  }

  private constructor(tab: Tab, serverUrl: string) {
    this.tab = tab;
    this.#serverUrl = serverUrl;
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

  region(name: string): Locator {
    return this.tab.getByRole("region", { name, exact: true });
  }

  /** Waits until the page shows this status of a reader. */
  async waitForStatus(
    status: string | RegExp,
    reader: Reader = "connectSse",
  ): Promise<void> {
    await this.region(reader).getByRole("status").filter({ hasText: status })
      .waitFor();
  }

  async waitForHint(hint: string): Promise<void> {
    await this.tab.locator("#hint").filter({ hasText: hint }).waitFor();
  }

  /**
   * Waits for a row of the raw events that contains this text. Returns the
   * row's text.
   */
  async waitForRow(text: string): Promise<string> {
    return await this.region(RAW).getByRole("row").filter({ hasText: text })
      .first().innerText();
  }

  /** Returns the connections and failures of a reader. */
  async entries(reader: Reader): Promise<string[]> {
    const entries = await this.region(LOG).getByRole("listitem")
      .allInnerTexts();
    return entries.map((entry) => entry.split(/\s+/).join(" "))
      .filter((entry) => entry.startsWith(`${reader} `))
      .map((entry) => entry.slice(reader.length + 1));
  }

  /**
   * Waits for the end and asserts that `connectSse` has received each event
   * exactly once.
   */
  async waitForCompletion(connections: number): Promise<void> {
    const noun = connections === 1 ? "connection" : "connections";
    await this.waitForStatus(
      `Complete: ${TOTAL} of ${TOTAL} events over ${connections} ${noun}.`,
    );
    assert.deepEqual(
      await this.counts(),
      { received: TOTAL, lost: 0, repeated: 0, connections },
    );
    const { tab } = this;
    assert.deepEqual(await this.text(), TEXT);
    assert.deepEqual(
      await tab.locator("tr.event td:first-child").allInnerTexts(),
      events.map(({ id }) => id),
    );
    const squares = tab.locator("#connectSse .map .received");
    assert.deepEqual(await squares.count(), TOTAL);
  }

  async counts(
    reader: Reader = "connectSse",
  ): Promise<Record<string, number>> {
    const region = this.region(reader);
    const labels = await region.getByRole("term").allInnerTexts();
    const counts = await region.getByRole("definition").allInnerTexts();
    return Object.fromEntries(
      labels.map((label, index) => [label.trim(), Number(counts[index])]),
    );
  }

  /** Returns the text that a reader has received. */
  async text(reader: Reader = "connectSse"): Promise<string> {
    const text = await this.region(`Text received by ${reader}`).innerText();
    return text.trim();
  }

  async [Symbol.asyncDispose]() {
    await this.tab.context().close();
    assert.deepEqual(this.#errors, []);
    for (const url of this.#urls) assert(url.startsWith(this.#serverUrl), url);
  }
}

Deno.test.afterAll(async () => {
  await browser.close();
  await server[Symbol.asyncDispose]();
});

const CASES = [
  {
    button: CUT,
    action: "You cut the connections.",
    error: "✕ network: Expected more events",
  },
  {
    button: STALL,
    action: "You stalled the connections.",
    error: "✕ idle-timeout: Expected a byte",
  },
  {
    button: KILL,
    action: "You killed the server.",
    error: "✕ status: Expected a status of 2xx, got 503",
  },
];

for (const { button, action, error } of CASES) {
  Deno.test(`"${button.name}" interrupts the stream, and connectSse resumes after the last event`, async () => {
    await using visitor = await Visitor.open();
    await visitor.waitForStatus("Connection 1 is open.");
    await visitor.waitForRow("number,");
    await visitor.button(button).click();
    await visitor.waitForStatus("Connection 2 is open.");
    await visitor.waitForRow(action);
    await visitor.waitForRow(error);
    await visitor.waitForRow("attempt 1 in 0.");
    const opened = await visitor.waitForRow("✓ connection 2, Last-Event-ID: ");
    const id = opened.match(/\d+$/)![0];
    await visitor.waitForRow(`: continuing after event ${id}`);
    await visitor.waitForRow("retry: 250");
    await visitor.waitForCompletion(2);
    const entries = await visitor.entries("connectSse");
    assert(entries.some((entry) => entry.startsWith(error)), `${entries}`);
    assert.deepEqual(
      entries.at(-1),
      `✓ connection 2, Last-Event-ID: ${id}`,
    );
  });
}

Deno.test("after a cut, the loop over fetch receives events again", async () => {
  await using visitor = await Visitor.open();
  await visitor.waitForRow("number,");
  await visitor.button(CUT).click();
  const status = `Complete: ${TOTAL} of ${TOTAL} events over 2 connections.`;
  await visitor.waitForStatus(status, "fetch");
  const { received, lost, repeated } = await visitor.counts("fetch");
  assert.deepEqual({ received, lost }, { received: TOTAL, lost: 0 });
  const words = (await visitor.text("fetch")).split(" ");
  // The first and every eighth of the repeated events report progress.
  assert.deepEqual(
    words.length,
    TEXT.split(" ").length + repeated - Math.ceil(repeated / 8),
  );
  assert(repeated > 10, `${repeated}`);
  assert.deepEqual(
    await visitor.tab.locator("#fetch .map .repeated").count(),
    repeated,
  );
  assert.deepEqual(await visitor.entries("fetch"), [
    "✓ connection 1",
    "✕ TypeError: network error; attempt in 1.0 s",
    "✓ connection 2, from the first event",
    "✓ the loop ended",
  ]);
});

const LOSSES = [
  {
    button: STALL,
    during: "Stalled: the loop waits without a timeout.",
    status: "Still waiting, no error: ",
    entries: ["✓ connection 1", "✕ no data, and no error"],
  },
  {
    button: KILL,
    during: "Ended without an error, as if it were complete.",
    status: "Ended, no error: ",
    entries: [
      "✓ connection 1",
      "✕ TypeError: network error; attempt in 1.0 s",
      "✕ status 503, which the loop does not check",
      "✕ the loop ended without an error",
    ],
  },
];

for (const { button, during, status, entries } of LOSSES) {
  Deno.test(`after "${button.name}", the loop over fetch loses all later events`, async () => {
    await using visitor = await Visitor.open();
    await visitor.waitForRow("number,");
    await visitor.button(button).click();
    await visitor.waitForStatus(during, "fetch");
    await visitor.waitForCompletion(2);
    const { received, lost, ...others } = await visitor.counts("fetch");
    assert.deepEqual(others, { repeated: 0, connections: 1 });
    assert.deepEqual(received + lost, TOTAL);
    assert(lost > 50, `${lost}`);
    await visitor.waitForStatus(
      `${status}${received} of ${TOTAL} events over 1 connection.`,
      "fetch",
    );
    const squares = visitor.tab.locator("#fetch .map .lost");
    assert.deepEqual(await squares.count(), lost);
    assert.deepEqual(await visitor.entries("fetch"), entries);
  });
}

Deno.test("EventSource resumes after a cut, waits on a stalled connection and gives up after status 503", async () => {
  await using visitor = await Visitor.open();
  const results = await visitor.tab.evaluate(async (last) => {
    /** Returns the ids and the states that `onerror` reports. */
    async function read(fault: string) {
      const query = `visitor=${crypto.randomUUID()}&speed=4`;
      const source = new EventSource(`/events?${query}`);
      const ids: string[] = [];
      const states: number[] = [];
      await new Promise<void>((resolve) => {
        source.onerror = () => {
          states.push(source.readyState);
          if (source.readyState === EventSource.CLOSED) resolve();
        };
        const onEvent = async ({ lastEventId }: MessageEvent) => {
          ids.push(lastEventId);
          if (lastEventId === last) resolve();
          if (ids.length !== 20) return;
          await fetch(`/${fault}?${query}`, { method: "POST" });
          // Longer than the `idleTimeout` of `connectSse` on the page.
          if (fault === "stall") setTimeout(resolve, 4000);
        };
        for (const type of ["token", "progress", "done"]) {
          source.addEventListener(type, onEvent);
        }
      });
      source.close();
      return { ids, states };
    }
    return await Promise.all(["cut", "stall", "kill"].map(read));
  }, String(TOTAL));
  const [cut, stall, kill] = results;
  assert.deepEqual(cut.ids, events.map(({ id }) => id));
  assert.deepEqual(cut.states, [0]);
  assert(stall.ids.length < 30);
  assert.deepEqual(stall.states, []);
  assert(kill.ids.length < 30);
  assert.deepEqual(kill.states.at(-1), 2);
});

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

Deno.test("the page counts lost and repeated events of both readers", async () => {
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
  await visitor.waitForStatus("Complete: 4 of 5 events over 1 connection.");
  await visitor.waitForStatus(
    "Ended, no error: 4 of 5 events over 1 connection.",
    "fetch",
  );
  for (const reader of ["connectSse", "fetch"] as const) {
    assert.deepEqual(
      await visitor.counts(reader),
      { received: 4, lost: 1, repeated: 1, connections: 1 },
    );
    const square = visitor.tab.locator(`#${reader} .map i`);
    assert.match(await square.nth(2).getAttribute("class") ?? "", /\blost\b/);
    assert.match(
      await square.nth(3).getAttribute("class") ?? "",
      /\brepeated\b/,
    );
  }
});

Deno.test('the page reconnects at once on "online"', async () => {
  await using visitor = await Visitor.open();
  await visitor.waitForStatus("Connection 1 is open.");
  await visitor.tab.evaluate(() => dispatchEvent(new Event("online")));
  await visitor.waitForStatus("Connection 2 is open.");
  await visitor.waitForCompletion(2);
});

Deno.test("the job starts over by itself if nothing was broken", async () => {
  await using visitor = await Visitor.open({ speed: 20 });
  await visitor.waitForHint("Nothing was broken. The job starts over");
  await visitor.waitForHint("Cut, Stall and Kill break");
  await visitor.waitForStatus("Connection 1 is open.");
  const { received, lost } = await visitor.counts();
  assert(received < TOTAL);
  assert.deepEqual(lost, 0);
});

Deno.test('the result of a broken stream stays until "Start over" is pressed', async () => {
  await using visitor = await Visitor.open();
  await visitor.waitForStatus("Connection 1 is open.");
  await visitor.button(CUT).click();
  await visitor.waitForCompletion(2);
  await visitor.waitForStatus("Complete: ", "fetch");
  // Longer than the pause before the job starts over by itself.
  await visitor.tab.waitForTimeout(2000);
  await visitor.waitForCompletion(2);
  await visitor.waitForHint("The job is complete. Start over");
  for (const button of [CUT, STALL, KILL]) {
    const disabled = visitor.button(button).getAttribute("aria-disabled");
    assert.deepEqual(await disabled, "true");
  }
  await visitor.button(START_OVER).click();
  await visitor.waitForStatus("Connection 1 is open.");
  await visitor.waitForHint("Cut, Stall and Kill break");
  await visitor.button(CUT).click();
  await visitor.waitForStatus("Connection 2 is open.");
});

Deno.test('"Start over" restarts both readers', async () => {
  await using visitor = await Visitor.open();
  await visitor.waitForRow("number,");
  await visitor.button(CUT).click();
  await visitor.waitForStatus("Connection 2 is open.");
  await visitor.waitForStatus("Connection 2 is open.", "fetch");
  await visitor.button(START_OVER).click();
  await visitor.waitForStatus("Connection 1 is open.");
  await visitor.waitForStatus("Connection 1 is open.", "fetch");
  await visitor.waitForRow(": new job");
  for (const reader of ["connectSse", "fetch"] as const) {
    assert.deepEqual(await visitor.entries(reader), ["✓ connection 1"]);
    assert.deepEqual((await visitor.counts(reader)).repeated, 0);
  }
  assert(TEXT.startsWith(await visitor.text("fetch")));
  await visitor.waitForCompletion(1);
});

Deno.test('"Start over" works while the server is killed', async () => {
  await using visitor = await Visitor.open({ speed: 1 });
  await visitor.waitForStatus("Connection 1 is open.");
  await visitor.button(KILL).click();
  await visitor.waitForStatus("No connection (status 503)");
  await visitor.button(START_OVER).click();
  await visitor.waitForStatus("Connection 1 is open.");
  assert.deepEqual(await visitor.entries("connectSse"), ["✓ connection 1"]);
});

/** A server of the demo's page that the test can stop and start again. */
class StoppableServer implements AsyncDisposable {
  #port = 0;
  #stop = new AbortController();
  #server!: Deno.HttpServer<Deno.NetAddr>;

  constructor() {
    this.start();
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  start(): void {
    this.#stop = new AbortController();
    this.#server = Deno.serve(
      {
        hostname: "127.0.0.1",
        port: this.#port,
        signal: this.#stop.signal,
        onError,
        onListen() {},
      },
      (request, info) => {
        const { pathname } = new URL(request.url);
        return pathname === "/" || pathname === "/sse.js"
          ? fetch(new URL(pathname, server.url))
          : handler(request, info);
      },
    );
    this.#port = this.#server.addr.port;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#server.finished;
    // A job that is canceled may still have a timer of 150 / 4 ms.
    await new Promise((resolve) => setTimeout(resolve, 100));
  }

  async [Symbol.asyncDispose]() {
    await this.stop();
  }
}

Deno.test("connectSse continues after its last event if the program is stopped and started again", async () => {
  await using server = new StoppableServer();
  await using visitor = await Visitor.open({ url: server.url });
  await visitor.waitForRow("number,");
  await server.stop();
  await visitor.waitForStatus("No connection (network)");
  await visitor.waitForHint(
    "Cut, Stall and Kill work when connectSse",
  );
  server.start();
  await visitor.waitForCompletion(2);
});

Deno.test('"Start over" works while the program is stopped', async () => {
  await using server = new StoppableServer();
  await using visitor = await Visitor.open({ url: server.url });
  await visitor.waitForRow("number,");
  await server.stop();
  await visitor.waitForStatus("No connection (network)");
  await visitor.button(START_OVER).click();
  await visitor.waitForStatus("No connection (network): attempt 1 ");
  assert.deepEqual((await visitor.counts()).received, 0);
  await visitor.waitForStatus("No connection (TypeError)", "fetch");
  server.start();
  await visitor.waitForCompletion(1);
});

Deno.test("the page names the module and links to its README", async () => {
  await using visitor = await Visitor.open();
  const link = visitor.tab.getByRole("link", { name: "README" });
  assert.deepEqual(
    await link.getAttribute("href"),
    "https://github.com/x/sse",
  );
  const paragraph = visitor.tab.getByText("@x/sse", { exact: true });
  assert(await paragraph.isVisible());
});

/** Returns whether the last row of the raw events is in view. */
function isLastRowInView(): boolean {
  const list = document.querySelector("#raw")!.getBoundingClientRect();
  const row = document.querySelector("#rows")!.lastElementChild!
    .getBoundingClientRect();
  return row.top < list.bottom && row.bottom > list.top;
}

Deno.test("failures stay visible beside the raw events", async () => {
  await using visitor = await Visitor.open({
    viewport: { width: 1280, height: 900 },
  });
  await visitor.waitForRow("number,");
  await visitor.button(CUT).click();
  await visitor.waitForCompletion(2);
  await visitor.waitForStatus("Complete: ", "fetch");
  const list = (await visitor.region(LOG).boundingBox())!;
  const raw = (await visitor.region(RAW).boundingBox())!;
  assert.deepEqual(list.y, raw.y);
  const items = visitor.region(LOG).getByRole("listitem");
  // The action and the failure of each reader.
  const failures = await items.filter({ hasText: /✕|You cut/ }).all();
  assert.deepEqual(failures.length, 3);
  for (const failure of failures) {
    const box = (await failure.boundingBox())!;
    assert(box.y >= list.y, await failure.innerText());
    assert(box.y + box.height <= list.y + list.height);
  }
});

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
  assert(await focused(tab.getByRole("link", { name: "README" })));
  await tab.keyboard.press("Tab");
  assert(await focused(visitor.button(CUT)));
  await tab.keyboard.press("Space");
  await visitor.waitForStatus("Connection 2 is open.");
  await tab.keyboard.press("Tab");
  await tab.keyboard.press("Enter");
  await visitor.waitForStatus("Stalled: idleTimeout ends the connection");
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
  assert(await focused(visitor.button(START_OVER)));
  for (const reader of ["connectSse", "fetch"]) {
    await tab.keyboard.press("Tab");
    assert(await focused(visitor.region(`Text received by ${reader}`)));
  }
  await tab.keyboard.press("Tab");
  assert(await focused(visitor.region(RAW)));
  // The last row stays in view until the user scrolls away.
  assert(await tab.evaluate(isLastRowInView));
  // A row that arrives while the list scrolls can stop the scrolling.
  for (let tries = 0; await tab.evaluate(isLastRowInView); tries++) {
    assert(tries < 20, "Home does not scroll the list");
    await tab.keyboard.press("Home");
    await tab.waitForTimeout(200);
  }
  await visitor.waitForCompletion(4);
  assert(!await tab.evaluate(isLastRowInView));
  await tab.keyboard.press("Tab");
  assert(await focused(visitor.region(LOG)));
  await tab.keyboard.press("Tab");
  await tab.keyboard.press("Enter");
  assert.match(
    await tab.locator("#readWithConnectSse").innerText(),
    /^async function readWithConnectSse\(.*\) \{\n {2}const sse .*\n\}$/s,
  );
  assert.match(
    await tab.locator("#readWithFetch").innerText(),
    /^async function readWithFetch\(.*\) \{\n {2}while .*\n\}$/s,
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
  for (const element of document.querySelectorAll(".map .received")) {
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

Deno.test("on a phone, the buttons are large and stay in view, and nothing is cut", async () => {
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
    await visitor.region(RAW).evaluate((raw) => raw.scrollIntoView());
    for (const button of [CUT, STALL, KILL, START_OVER]) {
      const { x, y, ...box } = (await visitor.button(button).boundingBox())!;
      assert(y >= 0 && y + box.height < 150, `${button.name} is at ${y}`);
      assert(x >= 0 && x + box.width <= width, `${button.name} is at ${x}`);
    }
    // `tap` would scroll the page to the original position of the button.
    const { x, y } = (await visitor.button(KILL).boundingBox())!;
    await visitor.tab.touchscreen.tap(x + 10, y + 10);
    await visitor.waitForRow("status: Expected a status");
    // The raw events are still below the buttons. New rows do not scroll the page.
    const raw = (await visitor.region(RAW).boundingBox())!;
    assert(raw.y >= y && raw.y + raw.height <= 700, `They are at ${raw.y}`);
    await visitor.waitForCompletion(2);
    await visitor.tab.getByText("The code of both readers").tap();
    const cut = await visitor.tab.locator("pre").evaluateAll((blocks) =>
      blocks.filter((it) => it.scrollWidth > it.clientWidth).length
    );
    assert.deepEqual(cut, 0);
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
    await visitor.waitForStatus("Stalled");
    assert.deepEqual(
      await visitor.tab.locator("#connectSse .wait").isVisible(),
      reducedMotion === "no-preference",
    );
  }
});
