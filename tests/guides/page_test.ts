/** Tests the hook of in_a_page.md with React. */
import { assertEquals } from "@std/assert";
import { createElement, StrictMode } from "npm:react@19.3.1";
import { act, create } from "npm:react-test-renderer@19.3.1";
import { deadline } from "../support/deadline.ts";
import { answer, runBlock } from "../support/guide.ts";
import { OpenResponse } from "../support/open_response.ts";

Deno.test('in_a_page: useLatest returns the newest event, reconnects on "online" and closes on unmount', async () => {
  const { useLatest } = await runBlock("in_a_page", "useEffect");
  Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });
  const streams: OpenResponse[] = [];
  using server = answer(() => {
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
  streams[1].send("data: 1\n\n");
  await waitForState({ latest: "1" });

  dispatchEvent(new Event("online"));
  await waitForRequests(3);
  streams[2].send("data: 2\n\n");
  await waitForState({ latest: "2" });

  await act(() => root.unmount());
  await streams[2].cancelled;
  dispatchEvent(new Event("online"));
  assertEquals(server.requests.length, 3);
});
