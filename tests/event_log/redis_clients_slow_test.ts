import { slowTestsNotRun } from "../support/slow_test.ts";
import { testContract } from "./contract.ts";
import { redisKind, sharedRedisServer } from "./redis_kind.ts";
import { whyNoRedis } from "./redis_server.ts";

const notRun = slowTestsNotRun ?? whyNoRedis();
const server = notRun ?? await sharedRedisServer();
testContract(redisKind("a raw socket with RESP3", 500, server));
for (const client of ["redis", "redis with RESP3", "ioredis"] as const) {
  testContract(redisKind(client, 500, server));
}
