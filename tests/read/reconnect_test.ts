import {
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { type ReconnectOptions, SseError } from "../../mod.ts";
import {
  planRetry,
  type ReconnectPolicy,
  reconnectPolicy,
} from "../../src/read/reconnect.ts";
import { assertSseError } from "../support/assert_sse_error.ts";
import type { ReconnectInfo } from "../support/reconnect_info.ts";

const network = new SseError("network", "The cable was cut");

/** An error about a response with that status. */
function statusError(status: number, retryAfter?: string): SseError {
  const headers = new Headers();
  if (retryAfter !== undefined) headers.set("Retry-After", retryAfter);
  const response = new Response(null, { status, headers });
  return new SseError("status", `Got ${status}`, { response });
}

/** Has `Math.random` return other numbers until it is disposed of. */
function mockRandom(random: () => number): Disposable {
  const original = Math.random;
  Math.random = random;
  return {
    [Symbol.dispose]() {
      Math.random = original;
    },
  };
}

/** The planned delay, or undefined if the policy throws the error itself. */
async function plan(
  policy: ReconnectPolicy,
  attempt: number,
  reconnectionTime?: number,
  error = network,
): Promise<number | undefined> {
  try {
    const plan = await planRetry(policy, {
      error,
      kind: "failed",
      attempt,
      hasEvents: false,
      reconnectionTime,
    }, new AbortController().signal);
    return (plan as { delay: number }).delay;
  } catch (thrown) {
    if (thrown !== error) throw thrown;
    return undefined;
  }
}

/** The delay before an attempt, without its random share. */
function delay(
  options: ReconnectOptions,
  attempt: number,
  reconnectionTime?: number,
  error = network,
): Promise<number | undefined> {
  const policy = reconnectPolicy({ jitter: 0, ...options });
  return plan(policy, attempt, reconnectionTime, error);
}

function delays(
  options: ReconnectOptions,
  count: number,
  reconnectionTime?: number,
): Promise<(number | undefined)[]> {
  return Promise.all(
    Array.from(
      { length: count },
      (_, i) => delay(options, i + 1, reconnectionTime),
    ),
  );
}

for (
  const code of [
    "network",
    "truncated",
    "idle-timeout",
    "event-timeout",
    "connect-timeout",
  ] as const
) {
  Deno.test(`ReconnectPolicy reconnects after ${code}`, async () => {
    assertEquals(await delay({}, 1, undefined, new SseError(code, "")), 1000);
  });
}

for (
  const code of ["content-type", "event-too-large", "reconnect-failed"] as const
) {
  Deno.test(`ReconnectPolicy does not reconnect after ${code}`, async () => {
    assertEquals(
      await delay({}, 1, undefined, new SseError(code, "")),
      undefined,
    );
  });
}

const retried = [408, 425, 429, 500, 502, 503, 504];

Deno.test(`ReconnectPolicy reconnects after status ${retried} and no other`, async () => {
  const statuses = Array.from({ length: 400 }, (_, i) => 200 + i);
  const answers = await Promise.all(
    statuses.map((status) => delay({}, 1, undefined, statusError(status))),
  );
  assertEquals(statuses.filter((_, i) => answers[i] !== undefined), retried);
});

Deno.test("ReconnectPolicy does not reconnect after a status error without a response", async () => {
  assertEquals(
    await delay({}, 1, undefined, new SseError("status", "")),
    undefined,
  );
});

Deno.test("ReconnectPolicy reconnects after a status error without a response where it is told to", async () => {
  const error = new SseError("status", "");
  const options = { shouldReconnect: () => true };
  assertEquals(await delay(options, 1, undefined, error), 1000);
});

Deno.test("ReconnectPolicy does not reconnect where Deno lacks a permission", async () => {
  const cause = new Deno.errors.NotCapable("Requires net access");
  const error = new SseError("network", "", { cause });
  assertEquals(await delay({}, 1, undefined, error), undefined);
});

Deno.test("ReconnectPolicy waits 1, 2, 4, 8, 16, then 30 seconds, unless told otherwise", async () => {
  assertEquals(
    await delays({}, 8),
    [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000],
  );
});

Deno.test("ReconnectPolicy takes away up to half of the wait, unless told otherwise", async () => {
  for (const [random, expected] of [[0, 1000], [0.5, 750], [1, 500]]) {
    using _random = mockRandom(() => random);
    const policy = reconnectPolicy({});
    assertEquals(await plan(policy, 1), expected);
  }
});

Deno.test("ReconnectPolicy grows initialDelay by backoffFactor up to maxDelay", async () => {
  const options = { initialDelay: 100, backoffFactor: 3, maxDelay: 2000 };
  assertEquals(
    await delays(options, 6),
    [100, 300, 900, 2000, 2000, 2000],
  );
});

Deno.test("ReconnectPolicy keeps the wait the same with a backoffFactor of 1", async () => {
  assertEquals(await delays({ backoffFactor: 1 }, 3), [1000, 1000, 1000]);
});

Deno.test("ReconnectPolicy bounds the wait also after very many attempts", async () => {
  assertEquals(await delay({}, 100_000), 30_000);
});

Deno.test("ReconnectPolicy bounds the first wait by maxDelay", async () => {
  assertEquals(await delay({ maxDelay: 10 }, 1), 10);
  assertEquals(await delay({ maxDelay: 10 }, 1, 5000), 10);
  assertEquals(await delay({ maxDelay: 0 }, 5), 0);
});

Deno.test("ReconnectPolicy takes the server's retry in place of initialDelay, longer or shorter", async () => {
  assertEquals(await delays({}, 3, 100), [100, 200, 400]);
  assertEquals(await delays({}, 4, 5000), [5000, 10000, 20000, 30000]);
});

Deno.test("ReconnectPolicy waits not at all once, then longer and longer, where the base is 0", async () => {
  const expected = [0, 100, 100, 100, 100, 100, 100, 128, 256];
  assertEquals(await delays({}, 9, 0), expected);
  assertEquals(await delays({ initialDelay: 0 }, 9), expected);
});

Deno.test("ReconnectPolicy waits 100 ms from the second attempt in a row on, whatever else says less", async () => {
  assertEquals(await delays({}, 3, 10), [10, 100, 100]);
  assertEquals(await delays({ backoffFactor: 1 }, 3, 99), [99, 100, 100]);
  using _random = mockRandom(() => 1);
  const policy = reconnectPolicy({ jitter: 1 });
  assertEquals(await plan(policy, 1), 0);
  assertEquals(await plan(policy, 2), 100);
});

Deno.test("ReconnectPolicy waits less than 100 ms where maxDelay says so", async () => {
  assertEquals(await delays({ maxDelay: 7 }, 3, 0), [0, 7, 7]);
});

Deno.test("ReconnectPolicy makes the share of the wait random that jitter says", async () => {
  for (
    const [jitter, random, expected] of [
      [0, 0.9, 1000],
      [0.2, 0, 1000],
      [0.2, 0.5, 900],
      [0.2, 1, 800],
      [1, 0.25, 750],
      [1, 1, 0],
    ]
  ) {
    using _random = mockRandom(() => random);
    const policy = reconnectPolicy({ jitter });
    assertEquals(await plan(policy, 1), expected);
  }
});

Deno.test("ReconnectPolicy draws anew for each wait", async () => {
  const draws = [0, 1, 0.5];
  using _random = mockRandom(() => draws.shift()!);
  const policy = reconnectPolicy({ backoffFactor: 1 });
  const waits = [];
  for (let i = 1; i <= 3; i++) {
    waits.push(await plan(policy, i));
  }
  assertEquals(waits, [1000, 500, 750]);
});

Deno.test("ReconnectPolicy makes the bounded wait random, so that it stays within maxDelay", async () => {
  using _random = mockRandom(() => 1);
  const policy = reconnectPolicy({});
  assertEquals(await plan(policy, 10), 15_000);
});

Deno.test("ReconnectPolicy waits a whole number of ms", async () => {
  using _random = mockRandom(() => 1 / 3);
  const policy = reconnectPolicy({ initialDelay: 10, jitter: 1 });
  assertEquals(await plan(policy, 1), 7);
});

Deno.test("ReconnectPolicy uses randomness of its own where none is given", async () => {
  const policy = reconnectPolicy({ jitter: 1, initialDelay: 1e9 });
  const options = { length: 5 };
  const waits = await Promise.all(
    Array.from(options, () => plan(policy, 1)),
  );
  assertEquals(new Set(waits).size, 5);
});

Deno.test("ReconnectPolicy waits no less than Retry-After in seconds, be it more than maxDelay", async () => {
  assertEquals(await delay({}, 1, undefined, statusError(503, "120")), 120_000);
  assertEquals(await delay({}, 1, undefined, statusError(429, "5")), 5000);
});

Deno.test("ReconnectPolicy waits longer than Retry-After where the backoff is longer", async () => {
  assertEquals(await delay({}, 4, undefined, statusError(503, "5")), 8000);
  assertEquals(await delay({}, 1, 7000, statusError(503, "5")), 7000);
});

Deno.test("ReconnectPolicy does not let jitter take from Retry-After", async () => {
  using _random = mockRandom(() => 1);
  const policy = reconnectPolicy({ jitter: 1 });
  assertEquals(await plan(policy, 1, undefined, statusError(503, "3")), 3000);
});

Deno.test("ReconnectPolicy waits until the date in Retry-After", async () => {
  using _time = new FakeTime("2026-11-22T10:00:00Z");
  for (
    const date of [
      "Sun, 22 Nov 2026 10:01:30 GMT",
      "Sunday, 22-Nov-26 10:01:30 GMT",
      " Sun, 22 Nov 2026 10:01:30 GMT ",
    ]
  ) {
    assertEquals(await delay({}, 1, undefined, statusError(503, date)), 90_000);
  }
});

Deno.test("ReconnectPolicy waits as ever where the date in Retry-After is past or near", async () => {
  using _time = new FakeTime("2026-11-22T10:00:00Z");
  for (
    const date of [
      "Sun, 22 Nov 2026 10:00:00 GMT",
      "Sun, 22 Nov 2026 10:00:01 GMT",
      "Sun, 22 Nov 2020 10:00:00 GMT",
    ]
  ) {
    assertEquals(await delay({}, 1, undefined, statusError(503, date)), 1000);
  }
});

for (
  const value of ["", "soon", "-5", "+5", "1.5", "1e3", "0", "5 s", "120, 120"]
) {
  Deno.test(`ReconnectPolicy waits as ever where Retry-After is ${JSON.stringify(value)}`, async () => {
    assertEquals(await delay({}, 1, undefined, statusError(503, value)), 1000);
  });
}

Deno.test("ReconnectPolicy heeds Retry-After of whatever status it reconnects after", async () => {
  for (const status of [...retried, 204, 401]) {
    assertEquals(
      await delay(
        { shouldReconnect: () => true },
        1,
        undefined,
        statusError(status, "60"),
      ),
      60_000,
    );
  }
});

Deno.test("ReconnectPolicy heeds Retry-After of refused responses alone", async () => {
  const response = new Response(null, { headers: { "Retry-After": "60" } });
  for (const code of ["truncated", "network", "idle-timeout"] as const) {
    assertEquals(
      await delay({}, 1, undefined, new SseError(code, "", { response })),
      1000,
    );
  }
});

Deno.test("ReconnectPolicy gives a number that is exact for an absurd Retry-After", async () => {
  assertEquals(
    await delay({}, 1, undefined, statusError(503, "9".repeat(400))),
    Number.MAX_SAFE_INTEGER,
  );
});

Deno.test("ReconnectPolicy throws reconnect-failed after maxAttempts in a row, with the last error as the cause", async () => {
  const error = statusError(503);
  const policy = reconnectPolicy({ jitter: 0, maxAttempts: 3 });
  assertEquals(await plan(policy, 3, undefined, error), 4000);
  const failure = await assertSseError(
    plan(policy, 4, undefined, error),
    "reconnect-failed",
  );
  assertStrictEquals(failure.cause, error);
  assertStrictEquals(failure.response, error.response);
  assertStringIncludes(failure.message, "maxAttempts");
  assertStringIncludes(failure.message, "3");
  assertStringIncludes(failure.message, error.message);
});

Deno.test("ReconnectPolicy makes no attempt with a maxAttempts of 0", async () => {
  const policy = reconnectPolicy({ maxAttempts: 0 });
  await assertSseError(
    plan(policy, 1),
    "reconnect-failed",
  );
});

Deno.test("ReconnectPolicy does not count where it would not reconnect anyway", async () => {
  const policy = reconnectPolicy({ maxAttempts: 0 });
  assertEquals(
    await plan(policy, 1, undefined, statusError(401)),
    undefined,
  );
});

Deno.test("ReconnectPolicy holds to maxAttempts where shouldReconnect says true", async () => {
  const policy = reconnectPolicy({
    maxAttempts: 2,
    shouldReconnect: () => true,
  });
  await assertSseError(
    plan(policy, 3, undefined, statusError(401)),
    "reconnect-failed",
  );
});

Deno.test("ReconnectPolicy does not reconnect where shouldReconnect says false, after whatever", async () => {
  for (const error of [network, statusError(503), statusError(401)]) {
    for (const shouldReconnect of [() => false, () => Promise.resolve(false)]) {
      assertEquals(
        await delay({ shouldReconnect }, 1, undefined, error),
        undefined,
      );
    }
  }
});

Deno.test("ReconnectPolicy reconnects where shouldReconnect says true, after whatever", async () => {
  const errors = [
    statusError(204),
    statusError(401),
    new SseError("content-type", ""),
    new SseError("event-too-large", ""),
  ];
  for (const error of errors) {
    for (const shouldReconnect of [() => true, () => Promise.resolve(true)]) {
      assertEquals(await delay({ shouldReconnect }, 1, undefined, error), 1000);
    }
  }
});

Deno.test("ReconnectPolicy decides itself where shouldReconnect says undefined", async () => {
  for (
    const shouldReconnect of [
      () => undefined,
      () => Promise.resolve(undefined),
    ]
  ) {
    assertEquals(await delay({ shouldReconnect }, 1), 1000);
    assertEquals(
      await delay({ shouldReconnect }, 1, undefined, statusError(401)),
      undefined,
    );
  }
});

Deno.test("ReconnectPolicy asks shouldReconnect once, with the error and the attempt", async () => {
  const asked: unknown[] = [];
  await delay({ shouldReconnect: (...args) => void asked.push(args) }, 7);
  assertEquals(asked, [[network, 7]]);
  assertStrictEquals((asked[0] as unknown[])[0], network);
});

Deno.test("ReconnectPolicy tells onReconnect once, with attempt, delay and error", async () => {
  const told: ReconnectInfo[] = [];
  await delay({ onReconnect: (info) => void told.push(info) }, 2, 300);
  assertEquals(told, [{ attempt: 2, delay: 600, error: network }]);
});

Deno.test("ReconnectPolicy waits until what onReconnect returns has settled", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const order: string[] = [];
  const decision = delay({ onReconnect: () => promise }, 1)
    .then(() => order.push("decided"));
  await Promise.resolve();
  order.push("settled");
  resolve();
  await decision;
  assertEquals(order, ["settled", "decided"]);
});

Deno.test("ReconnectPolicy tells onReconnect nothing where no attempt follows", async () => {
  const told: ReconnectInfo[] = [];
  const onReconnect = (info: ReconnectInfo) => void told.push(info);
  await delay({ onReconnect }, 1, undefined, statusError(401));
  await delay({ onReconnect, shouldReconnect: () => false }, 1);
  await assertRejects(() => delay({ onReconnect, maxAttempts: 0 }, 1));
  assertEquals(told, []);
});

const thrown = new Error("mine");
const throwing: Record<string, () => never | Promise<never>> = {
  "throws": () => {
    throw thrown;
  },
  "rejects": () => Promise.reject(thrown),
};
for (const name of ["shouldReconnect", "onReconnect"] as const) {
  for (const [how, callback] of Object.entries(throwing)) {
    Deno.test(`ReconnectPolicy rejects with what ${name} ${how} with`, async () => {
      const error = await assertRejects(() => delay({ [name]: callback }, 1));
      assertStrictEquals(error, thrown);
    });
  }
}

for (
  const [name, values] of Object.entries({
    initialDelay: [-1, NaN],
    maxDelay: [-1, NaN],
    backoffFactor: [0.9, 0, -2, NaN],
    jitter: [-0.1, 1.1, NaN],
    maxAttempts: [-1, NaN],
  })
) {
  for (const value of [...values, "1", null]) {
    Deno.test(`ReconnectPolicy takes no ${name} of ${String(value)} (${typeof value})`, () => {
      const error = assertThrows(
        () => reconnectPolicy({ [name]: value } as ReconnectOptions),
        RangeError,
      );
      assertStringIncludes(error.message, `reconnect.${name}`);
      assertStringIncludes(error.message, String(value));
    });
  }
}

for (const name of ["shouldReconnect", "onReconnect"]) {
  for (const value of [null, true, {}]) {
    Deno.test(`ReconnectPolicy takes no ${name} that is ${JSON.stringify(value)}`, () => {
      const error = assertThrows(
        () => reconnectPolicy({ [name]: value } as ReconnectOptions),
        TypeError,
      );
      assertStringIncludes(error.message, `reconnect.${name}`);
    });
  }
}

Deno.test("ReconnectPolicy takes undefined as an option not given", async () => {
  const options: ReconnectOptions = {
    initialDelay: undefined,
    maxDelay: undefined,
    backoffFactor: undefined,
    maxAttempts: undefined,
    shouldReconnect: undefined,
    onReconnect: undefined,
  };
  assertEquals(await delays(options, 2), [1000, 2000]);
  using _random = mockRandom(() => 1);
  const policy = reconnectPolicy({ jitter: undefined });
  assertEquals(await plan(policy, 1), 500);
});

Deno.test("ReconnectPolicy takes Infinity for maxDelay and maxAttempts", async () => {
  const options = { maxDelay: Infinity, maxAttempts: Infinity };
  assertEquals(await delay(options, 11), 1_024_000);
  assertEquals(await delay(options, 1_000_000), Infinity);
});

Deno.test("ReconnectPolicy does not heed what becomes of its options later", async () => {
  const options: ReconnectOptions = { jitter: 0, initialDelay: 1 };
  const policy = reconnectPolicy(options);
  options.initialDelay = 2;
  options.shouldReconnect = () => false;
  assertEquals(await plan(policy, 1), 1);
});

function chain(...causes: [string, Record<string, unknown>?][]): Error {
  const [[message, properties], ...rest] = causes;
  const cause = rest.length > 0
    ? chain(...rest as [string, Record<string, unknown>?][])
    : undefined;
  return Object.assign(new TypeError(message, { cause }), properties);
}

// What the runtimes say, word for word.
const futile: Record<string, Error> = {
  "Deno's redirect loop": chain(
    ["Fetch failed: Maximum number of redirects (20) reached"],
  ),
  "Node's redirect loop": chain(["fetch failed"], ["redirect count exceeded"]),
  "Bun's redirect loop": chain(["It failed", { code: "TooManyRedirects" }]),
  "workerd's redirect loop": chain(
    ["Too many redirects.http://127.0.0.1/loop, http://127.0.0.1/loop"],
  ),
  "a redirect where none may be": chain(
    ["fetch failed"],
    ["unexpected redirect"],
  ),
  "a Request taken for a URL by Deno": chain(
    ["Invalid URL: '[object Request]'"],
  ),
  "a Request taken for a URL by Node": chain(
    ["Failed to parse URL from [object Request]"],
    ["Invalid URL", { code: "ERR_INVALID_URL" }],
  ),
  "a Request taken for a URL by Bun": chain(
    ["fetch() URL is invalid", { code: "ERR_INVALID_URL" }],
  ),
  "Deno's blocked port": chain([
    "Fetch failed: Requests to port 6000 are blocked",
  ]),
  "Node's blocked port": chain(["fetch failed"], ["bad port"]),
};
for (const [what, cause] of Object.entries(futile)) {
  Deno.test(`ReconnectPolicy does not reconnect after ${what}`, async () => {
    const error = new SseError("network", "", { cause });
    assertEquals(await delay({}, 1, undefined, error), undefined);
    assertEquals(
      await delay({ shouldReconnect: () => true }, 1, undefined, error),
      1000,
    );
  });
}

Deno.test("ReconnectPolicy reconnects whatever the URL is called that could not be reached", async () => {
  for (
    const cause of [
      chain(["fetch failed"], [
        "error sending request for url (http://127.0.0.1/redirect?parse URL)",
      ]),
      chain(["fetch failed"], ["connect ECONNREFUSED 127.0.0.1:9"]),
      "redirect",
      null,
      undefined,
    ]
  ) {
    const error = new SseError("network", "", { cause });
    assertEquals(await delay({}, 1, undefined, error), 1000);
  }
});

Deno.test("ReconnectPolicy ends where causes form a circle", async () => {
  const cause = new Error("round and round");
  cause.cause = cause;
  const error = new SseError("network", "", { cause });
  assertEquals(await delay({}, 1, undefined, error), 1000);
});

Deno.test("ReconnectPolicy says what the last failure's response said", async () => {
  const response = new Response(null, { status: 503 });
  const error = new SseError("status", "", { response, body: "Sorry" });
  const failure = await assertSseError(
    delay({ maxAttempts: 0 }, 1, undefined, error),
    "reconnect-failed",
  );
  assertEquals(failure.body, "Sorry");
});
