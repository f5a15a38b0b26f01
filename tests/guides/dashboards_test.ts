/** Tests the programs and statements of dashboards.md. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { connectSse } from "../../mod.ts";
import {
  EventLogGapError,
  MemoryEventLog,
  resume,
} from "../../src/event_log/mod.ts";
import { EventSource } from "../../src/event_source.ts";
import { dataOf } from "../support/data_of.ts";
import { deadline } from "../support/deadline.ts";
import { answer, runBlock } from "../support/guide.ts";
import { whyNoKv } from "../support/not_run.ts";
import { blockOf, withPackage } from "./programs.ts";

const noKv = whyNoKv("Tests of dashboards.md with Deno KV");

const GUIDE = "dashboards";
const url = "http://localhost:8000/";

/** Runs the guide's server instead of the network, until disposed. */
async function startServer() {
  const { default: server } = await runBlock(GUIDE, "// server.ts");
  const network = answer(server.fetch);
  return {
    requests: network.requests,
    async post(...changes: number[]) {
      for (const change of changes) {
        const body = JSON.stringify({ item: "tea", change });
        await server.fetch(new Request(url, { method: "POST", body }));
      }
    },
    [Symbol.dispose]: () => network[Symbol.dispose](),
  };
}

Deno.test("dashboards: the client shows the state and then each change", async () => {
  using server = await startServer();
  await server.post(-1);
  const { follow } = await runBlock(GUIDE, "// client.ts");
  const shown: number[] = [];
  const following = follow(url, ({ tea, coffee }: Record<string, number>) => {
    assertEquals(coffee, 7);
    shown.push(tea);
    if (shown.length === 1) server.post(-2, 5, 1);
    if (shown.length === 4) throw new Error("Ctrl+C");
  });
  await assertRejects(() => deadline(following, "the client"), Error, "Ctrl");
  assertEquals(shown, [9, 7, 12, 13]);
});

Deno.test("dashboards: a client that reconnects gets only changes, and one that is too far behind gets the state", async () => {
  using server = await startServer();
  const first = await connectSse(url);
  assertEquals(await dataOf(first, 1), ['{"tea":10,"coffee":7}']);
  await first.close();
  await server.post(1, 2);
  const again = await connectSse(url, { lastEventId: first.lastEventId });
  assertEquals(
    await dataOf(again, 2),
    ['{"item":"tea","change":1}', '{"item":"tea","change":2}'],
  );
  await again.close();
  await server.post(...Array(1001).fill(1));
  const late = await connectSse(url, { lastEventId: again.lastEventId });
  assertEquals(await dataOf(late, 1), ['{"tea":1014,"coffee":7}']);
  await late.close();
});

Deno.test("dashboards: the page shows the state and then each change", async () => {
  using server = await startServer();
  const guide = new URL(
    "../../examples/guides/dashboards.md",
    import.meta.url,
  );
  const [, script] = (await Deno.readTextFile(guide)).match(
    /<script type="module">\n(.*?)<\/script>/s,
  )!;
  const shown: string[] = [];
  const element = {
    set textContent(text: string) {
      shown.push(text);
    },
  };
  const sources: EventSource[] = [];
  class PageSource extends EventSource {
    constructor(path: string) {
      super(new URL(path, url), { reconnect: { initialDelay: 1 } });
      sources.push(this);
    }
  }
  new Function("document", "EventSource", script)(
    { querySelector: () => element },
    PageSource,
  );
  const hasShown = async (tea: number) => {
    while (!shown.at(-1)?.includes(`"tea": ${tea},`)) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  };
  await deadline(hasShown(10), "the state");
  await server.post(1);
  await deadline(hasShown(11), "a change");
  sources[0].close();
  assertEquals(shown.length, 2);
});

for (const [copies, total] of [[true, 1], [false, 2]] as const) {
  Deno.test(`dashboards: with an async snapshot that returns ${copies ? "a copy" : "the state itself"}, a total of 1 is shown as ${total}`, async () => {
    const log = new MemoryEventLog();
    const state = { total: 0 };
    let { lastId: id } = await log.status();
    const keeping = (async () => {
      for await (const message of log.read(id)) {
        state.total += Number(message.data);
        id = message.id!;
      }
    })();
    const messages = resume(log, new Request(url), {
      // deno-lint-ignore require-await
      async snapshot() {
        const json = copies ? structuredClone(state) : state;
        log.append({ data: "1" }); // In another request.
        return { id, json };
      },
    })[Symbol.asyncIterator]();
    const first = await messages.next();
    const { data } = (await messages.next()).value!;
    assertEquals(JSON.parse(first.value!.data!).total + Number(data), total);
    await messages.return!();
    await log.end();
    await keeping;
  });
}

/** The guide's process, with its limits divided by 100. */
async function processes() {
  const [code] = (await blockOf(GUIDE, "async function start(kv")).split(
    "const kv =",
  );
  const changed = withPackage(code)
    .replace("maxMessages: 1000", "maxMessages: 10")
    .replace("% 100", "% 1");
  assert(changed.includes(" 10 }") && changed.includes("% 1 "), changed);
  const { start, KvEventLog } = await import(
    `data:text/typescript,${
      encodeURIComponent(changed + "export { start, KvEventLog };")
    }`
  );
  const kv = await Deno.openKv(":memory:");
  const log = new KvEventLog(kv, ["changes"]);
  // deno-lint-ignore no-explicit-any
  const started: any[] = [];
  return {
    kv,
    log,
    async start() {
      started.push(await start(kv));
      return started.at(-1);
    },
    async [Symbol.asyncDispose]() {
      await log.end();
      await Promise.allSettled(started.map(({ keeping }) => keeping));
      kv.close();
    },
  };
}

Deno.test(
  "dashboards: a process that starts later continues with the saved state, although the log has dropped messages",
  {
    ignore: noKv !== undefined,
  },
  async () => {
    await using it = await processes();
    const first = await it.start();
    for (let n = 0; n < 40; n++) {
      const request = new Request(url, { method: "POST", body: "1" });
      await first.handler(request);
    }
    const isSaved = async () => {
      let total = 0;
      while (total < 35) {
        total = (await it.kv.get<{ total: number }>(["state"])).value?.total ??
          0;
      }
    };
    await deadline(isSaved(), "the state to be saved");
    const later = await it.start();
    const sse = await connectSse(url, { fetch: later.handler });
    let total = 0;
    while (total < 40) {
      const { event, data } = (await deadline(sse.next(), "an event")).value!;
      total = event === "state" ? Number(data) : total + Number(data);
    }
    assertEquals(total, 40);
    await sse.close();
  },
);

Deno.test(
  "dashboards: a process whose saved state is too old fails with a gap",
  {
    ignore: noKv !== undefined,
  },
  async () => {
    await using it = await processes();
    await it.log.append({ data: "1" });
    await it.kv.set(["state"], { id: "1-unknown", total: 0 });
    const later = await it.start();
    const error = await deadline(
      later.keeping.then(() => undefined, (error: unknown) => error),
      "the process to fail",
    );
    assert(error instanceof EventLogGapError, String(error));
  },
);
