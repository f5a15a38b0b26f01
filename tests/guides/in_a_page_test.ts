/** Tests the programs of in_a_page.md: the hook with React. */
import { assert, assertEquals } from "@std/assert";
import { createElement, StrictMode } from "npm:react@19.3.1";
import { act, create } from "npm:react-test-renderer@19.3.1";
import { deadline } from "../support/deadline.ts";
import { answer, logged, runBlock } from "../support/guide.ts";
import { eventResponse, OpenResponse } from "../support/open_response.ts";
import { blockOf, withPackage } from "./programs.ts";

Deno.test('in_a_page: useLatest returns the newest event and the failure, reconnects on "online" and closes on unmount', async () => {
  const { useLatest } = await runBlock("in_a_page", "useEffect");
  Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });
  const streams: OpenResponse[] = [];
  const gate = Promise.withResolvers<void>();
  using server = answer(async (_, index) => {
    if (index === 3) await gate.promise;
    const stream = new OpenResponse();
    streams.push(stream);
    return stream.response;
  });
  const Latest = () => JSON.stringify(useLatest("https://example.com/"));

  // deno-lint-ignore no-explicit-any
  let root: any;
  await act(() => {
    root = create(
      createElement(StrictMode, null, createElement(Latest)),
      { unstable_isConcurrent: true },
    );
  });
  const waitFor = async (what: string, isTrue: () => boolean) => {
    const poll = async () => {
      while (!isTrue()) {
        await act(() => new Promise((resolve) => setTimeout(resolve, 5)));
      }
    };
    await deadline(poll(), what);
  };
  const waitForState = (expected: unknown) =>
    waitFor(
      JSON.stringify(expected),
      () => root.toJSON() === JSON.stringify(expected),
    );
  const waitForRequests = (count: number) =>
    waitFor(`${count} requests`, () => server.requests.length >= count);

  await waitForRequests(2); // Strict Mode mounts twice.
  await streams[0].cancelled;
  streams[1].send("retry: 1\nid: 7\ndata: 1\n\n");
  await waitForState({ latest: "1" });

  dispatchEvent(new Event("online"));
  await waitForRequests(3);
  streams[2].send("data: 2\n\n");
  await waitForState({ latest: "2" });

  streams[2].fail(new Error("cable cut"));
  await waitForState({ latest: "2", failure: "network" });
  gate.resolve();
  await waitForRequests(4);
  assertEquals(server.requests[3].headers.get("Last-Event-ID"), "7");
  await waitForState({ latest: "2" });

  await act(() => root.unmount());
  await streams[3].cancelled;
  dispatchEvent(new Event("online"));
  assertEquals(server.requests.length, 4);
});

Deno.test("in_a_page: useLatest returns no failure after the server has ended the stream", async () => {
  const { useLatest } = await runBlock("in_a_page", "useEffect");
  Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });
  const ended = Promise.withResolvers<void>();
  using _ = answer((_, index) => {
    if (index === 0) return eventResponse("retry: 1\ndata: 1\n\n");
    ended.resolve();
    return new Response(null, { status: 204 });
  });
  const Latest = () => JSON.stringify(useLatest("https://example.com/"));
  // deno-lint-ignore no-explicit-any
  let root: any;
  await act(() => void (root = create(createElement(Latest))));
  await act(async () => {
    await deadline(ended.promise, "the second request");
    await new Promise((resolve) => setTimeout(resolve));
  });
  assertEquals(root.toJSON(), '{"latest":"1"}');
  await act(() => root.unmount());
});

Deno.test("in_a_page: the stream is closed while the page is hidden and then continues after the last event", async () => {
  const streams: OpenResponse[] = [];
  const arrivals = [0, 1, 2].map(() => Promise.withResolvers<void>());
  using server = answer(() => {
    const stream = new OpenResponse(
      streams.length === 0 ? "id: 1\ndata: a\n\n" : "id: 2\ndata: b\n\n",
    );
    arrivals[streams.push(stream) - 1]?.resolve();
    return stream.response;
  });
  using output = logged();
  const waitForLines = async (count: number) => {
    while (output.lines.length < count) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };

  // The program waits for the end of its first stream. `document` is the page's.
  const page = Object.assign(new EventTarget(), { hidden: false });
  const listener = await blockOf("in_a_page", "visibilitychange");
  const program = await blockOf("in_a_page", "export function pause");
  assert(program.includes("\nawait read();"));
  const code = withPackage(program.replace("\nawait read();", ""));
  const { pause, read } = await import(
    `data:text/typescript,${encodeURIComponent(code)}`
  );
  const reading = read();
  new Function("document", "pause", "read", listener)(page, pause, read);
  await deadline(waitForLines(1), "the first event");

  page.hidden = true;
  page.dispatchEvent(new Event("visibilitychange"));
  await streams[0].cancelled;
  await reading;
  page.hidden = false;
  page.dispatchEvent(new Event("visibilitychange"));
  await deadline(arrivals[1].promise, "the second request");
  assertEquals(server.requests[1].headers.get("Last-Event-ID"), "1");
  await deadline(waitForLines(2), "the second event");

  // A page that was opened in the background becomes visible without a pause.
  page.dispatchEvent(new Event("visibilitychange"));
  await streams[1].cancelled;
  await deadline(arrivals[2].promise, "the third request");

  streams[2].send("data: [DONE]\n\n");
  await streams[2].cancelled;
  page.dispatchEvent(new Event("visibilitychange"));
  assertEquals(output.lines, [["a"], ["b"], ["b"]]);
  assertEquals(server.requests.length, 3);
});

Deno.test("in_a_page: tokens are collected and set once per frame", async () => {
  const code = await blockOf("in_a_page", "requestAnimationFrame");
  const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
  const frames: (() => void)[] = [];
  const texts: string[] = [];
  const stop = new AbortController();
  const run = new AsyncFunction(
    "sse",
    "signal",
    "requestAnimationFrame",
    "setAnswer",
    code,
  );
  async function* sse() {
    yield { data: "a" };
    yield { data: "b" };
    frames[0]();
    yield { data: "c" };
    frames[1]();
    yield { data: "d" };
    stop.abort();
    frames[2](); // The component has got another URL.
  }
  await run(
    sse(),
    stop.signal,
    (frame: () => void) => frames.push(frame),
    (text: string) => texts.push(text),
  );
  assertEquals(texts, ["ab", "abc"]);
});
