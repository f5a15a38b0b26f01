/** Event logs hold no memory for calls and readers that are over. */
import { assertLess } from "@std/assert";
import { KvEventLog } from "../../src/event_log/kv.ts";
import {
  type EventLog,
  MemoryEventLog,
  resume,
} from "../../src/event_log/mod.ts";
import { SqlEventLog } from "../../src/event_log/sql.ts";
import { sseResponse } from "../../src/write/response.ts";
import { heldBytes } from "../support/garbage.ts";
import { whyNoKv } from "../support/not_run.ts";
import { slowTest } from "../support/slow_test.ts";
import { Reader } from "./contract.ts";
import { redisKind } from "./redis_kind.ts";
import { RedisServer, whyNoRedis } from "./redis_server.ts";
import { Sqlite } from "./sqlite.ts";

const ROUNDS = 2000;

/**
 * The heap also grows when code is compiled late. Holding one small object for each
 * round takes more.
 */
const MAX_GROWTH = 50 * ROUNDS;

const options = { maxMessages: 10 };

const noKv = whyNoKv("A test of KvEventLog");

async function use(log: EventLog, rounds: number): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    const id = await log.append({ data: "x" });
    await log.status();
    for (const after of ["", id, undefined]) {
      const reader = new Reader(log.read(after, { idleTimeout: 1000 }));
      if (after === "") await reader.take(1);
      else reader.next().catch(() => {});
      await reader.return();
    }
    const messages = resume(log, new Request("http://localhost/"), {
      from: "now",
      idleTimeout: 1000,
    });
    const body = sseResponse(messages, { heartbeat: 1000 }).body!.getReader();
    await body.read();
    await body.cancel();
  }
}

async function assertHoldsNothing(log: EventLog): Promise<void> {
  // Until the tables of the engine, which grow in steps, have grown.
  await use(log, ROUNDS);
  const before = heldBytes();
  await use(log, ROUNDS);
  const growth = heldBytes() - before;
  assertLess(growth, MAX_GROWTH);
}

slowTest("MemoryEventLog holds no memory for what is over", async () => {
  await assertHoldsNothing(new MemoryEventLog(options));
});

slowTest("SqlEventLog holds no memory for what is over", async () => {
  using sqlite = new Sqlite();
  await assertHoldsNothing(
    new SqlEventLog(sqlite.connection(), "log", options),
  );
});

slowTest("KvEventLog holds no memory for what is over", async () => {
  const kv = await Deno.openKv(":memory:");
  await assertHoldsNothing(new KvEventLog(kv, ["log"], options));
  kv.close();
}, noKv);

const noRedis = whyNoRedis();

slowTest("RedisEventLog holds no memory for what is over", async () => {
  await using server = await RedisServer.start("everysec");
  await using storage = await redisKind("a raw socket", 0, server).open();
  await assertHoldsNothing(storage.log("log", options.maxMessages));
}, noRedis);
