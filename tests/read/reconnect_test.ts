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

/** Returns the error of a response with this status. */
function statusError(status: number, retryAfter?: string): SseError {
  const headers = new Headers();
  if (retryAfter !== undefined) headers.set("Retry-After", retryAfter);
  const response = new Response(null, { status, headers });
  return new SseError("status", `Got ${status}`, { response });
}

/** Replaces `Math.random` until it is disposed. */
function mockRandom(random: () => number): Disposable {
  const original = Math.random;
  Math.random = random;
  return {
    [Symbol.dispose]() {
      Math.random = original;
    },
  };
}

function plan(
  policy: ReconnectPolicy,
  attempt: number,
  reconnectionTime?: number,
  error = network,
): Promise<number | undefined> {
  const { signal } = new AbortController();
  return planRetry(policy, error, attempt, reconnectionTime, signal);
}

/** Returns the delay before an attempt, without jitter. */
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
  Deno.test(`planRetry retries after ${code}`, async () => {
    assertEquals(await delay({}, 1, undefined, new SseError(code, "")), 1000);
  });
}

for (
  const code of ["content-type", "event-too-large", "reconnect-failed"] as const
) {
  Deno.test(`planRetry does not retry after ${code}`, async () => {
    assertEquals(
      await delay({}, 1, undefined, new SseError(code, "")),
      undefined,
    );
  });
}

Deno.test("planRetry retries only after the statuses 408, 425, 429, and 5xx except 501, 505 and 511", async () => {
  const statuses = Array.from({ length: 400 }, (_, i) => 200 + i);
  const answers = await Promise.all(
    statuses.map((status) => delay({}, 1, undefined, statusError(status))),
  );
  const others = Array.from({ length: 100 }, (_, i) => 500 + i)
    .filter((status) => ![501, 505, 511].includes(status));
  assertEquals(
    statuses.filter((_, i) => answers[i] !== undefined),
    [408, 425, 429, ...others],
  );
});

Deno.test("planRetry does not retry after a status error without a response", async () => {
  assertEquals(
    await delay({}, 1, undefined, new SseError("status", "")),
    undefined,
  );
});

Deno.test("planRetry retries after a status error without a response if shouldReconnect returns true", async () => {
  const error = new SseError("status", "");
  const options = { shouldReconnect: () => true };
  assertEquals(await delay(options, 1, undefined, error), 1000);
});

Deno.test("planRetry does not retry if Deno lacks a permission", async () => {
  const cause = new Deno.errors.NotCapable("Requires net access");
  const error = new SseError("network", "", { cause });
  assertEquals(await delay({}, 1, undefined, error), undefined);
});

Deno.test("planRetry delays by 1, 2, 4, 8, 16, then 30 seconds by default", async () => {
  assertEquals(
    await delays({}, 8),
    [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000],
  );
});

Deno.test("planRetry reduces the delay by up to half by default", async () => {
  for (const [random, expected] of [[0, 1000], [0.5, 750], [1, 500]]) {
    using _random = mockRandom(() => random);
    const policy = reconnectPolicy({});
    assertEquals(await plan(policy, 1), expected);
  }
});

Deno.test("planRetry multiplies initialDelay by backoffFactor, up to maxDelay", async () => {
  const options = { initialDelay: 100, backoffFactor: 3, maxDelay: 2000 };
  assertEquals(
    await delays(options, 6),
    [100, 300, 900, 2000, 2000, 2000],
  );
});

Deno.test("planRetry keeps the delay constant if backoffFactor is 1", async () => {
  assertEquals(await delays({ backoffFactor: 1 }, 3), [1000, 1000, 1000]);
});

Deno.test("planRetry limits the delay even after very many attempts", async () => {
  assertEquals(await delay({}, 100_000), 30_000);
});

Deno.test("planRetry limits the first delay to maxDelay", async () => {
  assertEquals(await delay({ maxDelay: 10 }, 1), 10);
  assertEquals(await delay({ maxDelay: 10 }, 1, 5000), 10);
  assertEquals(await delay({ maxDelay: 0 }, 5), 0);
});

Deno.test("planRetry uses the server's retry instead of initialDelay, longer or shorter", async () => {
  assertEquals(await delays({}, 3, 100), [100, 200, 400]);
  assertEquals(await delays({}, 4, 5000), [5000, 10000, 20000, 30000]);
});

Deno.test("planRetry starts with no delay if the initial delay is 0, and increases it later", async () => {
  const expected = [0, 100, 100, 100, 100, 100, 100, 128, 256];
  assertEquals(await delays({}, 9, 0), expected);
  assertEquals(await delays({ initialDelay: 0 }, 9), expected);
});

Deno.test("planRetry delays by at least 100 ms from the second attempt in a row", async () => {
  assertEquals(await delays({}, 3, 10), [10, 100, 100]);
  assertEquals(await delays({ backoffFactor: 1 }, 3, 99), [99, 100, 100]);
  using _random = mockRandom(() => 1);
  const policy = reconnectPolicy({ jitter: 1 });
  assertEquals(await plan(policy, 1), 0);
  assertEquals(await plan(policy, 2), 100);
});

Deno.test("planRetry delays by less than 100 ms if maxDelay is less", async () => {
  assertEquals(await delays({ maxDelay: 7 }, 3, 0), [0, 7, 7]);
});

Deno.test("planRetry randomizes the share of the delay that jitter sets", async () => {
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

Deno.test("planRetry uses a new random number for each delay", async () => {
  const draws = [0, 1, 0.5];
  using _random = mockRandom(() => draws.shift()!);
  const policy = reconnectPolicy({ backoffFactor: 1 });
  const planned = [];
  for (let i = 1; i <= 3; i++) {
    planned.push(await plan(policy, i));
  }
  assertEquals(planned, [1000, 500, 750]);
});

Deno.test("planRetry applies jitter to the delay that maxDelay has limited", async () => {
  using _random = mockRandom(() => 1);
  const policy = reconnectPolicy({});
  assertEquals(await plan(policy, 10), 15_000);
});

Deno.test("planRetry delays by a whole number of milliseconds", async () => {
  using _random = mockRandom(() => 1 / 3);
  const policy = reconnectPolicy({ initialDelay: 10, jitter: 1 });
  assertEquals(await plan(policy, 1), 7);
});

Deno.test("planRetry returns different delays with the real Math.random", async () => {
  const policy = reconnectPolicy({ jitter: 1, initialDelay: 1e9 });
  const options = { length: 5 };
  const planned = await Promise.all(
    Array.from(options, () => plan(policy, 1)),
  );
  assertEquals(new Set(planned).size, 5);
});

Deno.test("planRetry delays by at least the seconds in Retry-After, even if they exceed maxDelay", async () => {
  assertEquals(await delay({}, 1, undefined, statusError(503, "120")), 120_000);
  assertEquals(await delay({}, 1, undefined, statusError(429, "5")), 5000);
});

Deno.test("planRetry delays longer than Retry-After if the backoff is longer", async () => {
  assertEquals(await delay({}, 4, undefined, statusError(503, "5")), 8000);
  assertEquals(await delay({}, 1, 7000, statusError(503, "5")), 7000);
});

Deno.test("planRetry does not apply jitter to Retry-After", async () => {
  using _random = mockRandom(() => 1);
  const policy = reconnectPolicy({ jitter: 1 });
  assertEquals(await plan(policy, 1, undefined, statusError(503, "3")), 3000);
});

Deno.test("planRetry delays until the date in Retry-After", async () => {
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

Deno.test("planRetry ignores a date in Retry-After that is past or sooner than the backoff", async () => {
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
  const value of [
    "",
    "soon",
    "-5",
    "+5",
    "1.5",
    "2500.5",
    "2500-01-01",
    "1e3",
    "0",
    "5 s",
    "120, 120",
  ]
) {
  Deno.test(`planRetry ignores a Retry-After of ${JSON.stringify(value)}`, async () => {
    assertEquals(await delay({}, 1, undefined, statusError(503, value)), 1000);
  });
}

Deno.test("planRetry respects Retry-After after every status that it retries", async () => {
  for (const status of [408, 429, 503, 529, 401, 501]) {
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

Deno.test("planRetry respects Retry-After only after status errors", async () => {
  const response = new Response(null, { headers: { "Retry-After": "60" } });
  for (const code of ["truncated", "network", "idle-timeout"] as const) {
    assertEquals(
      await delay({}, 1, undefined, new SseError(code, "", { response })),
      1000,
    );
  }
});

Deno.test("planRetry takes an extremely long Retry-After for Infinity", async () => {
  assertEquals(
    await delay({}, 1, undefined, statusError(503, "9".repeat(400))),
    Infinity,
  );
});

Deno.test('planRetry rejects with "reconnect-failed" after maxAttempts in a row, with the last error as the cause', async () => {
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

Deno.test("planRetry allows no attempt if maxAttempts is 0", async () => {
  const policy = reconnectPolicy({ maxAttempts: 0 });
  await assertSseError(
    plan(policy, 1),
    "reconnect-failed",
  );
});

Deno.test("planRetry does not retry after a permanent error, even if maxAttempts is 0", async () => {
  const policy = reconnectPolicy({ maxAttempts: 0 });
  assertEquals(
    await plan(policy, 1, undefined, statusError(401)),
    undefined,
  );
});

Deno.test("planRetry respects maxAttempts even if shouldReconnect returns true", async () => {
  const policy = reconnectPolicy({
    maxAttempts: 2,
    shouldReconnect: () => true,
  });
  await assertSseError(
    plan(policy, 3, undefined, statusError(401)),
    "reconnect-failed",
  );
});

Deno.test("planRetry does not retry after any error if shouldReconnect returns false", async () => {
  for (const error of [network, statusError(503), statusError(401)]) {
    for (const shouldReconnect of [() => false, () => Promise.resolve(false)]) {
      assertEquals(
        await delay({ shouldReconnect }, 1, undefined, error),
        undefined,
      );
    }
  }
});

Deno.test("planRetry retries after any error if shouldReconnect returns true", async () => {
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

Deno.test("planRetry uses the default if shouldReconnect returns undefined", async () => {
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

Deno.test("planRetry calls shouldReconnect once, with the error and the attempt", async () => {
  const calls: unknown[] = [];
  await delay({ shouldReconnect: (...args) => void calls.push(args) }, 7);
  assertEquals(calls, [[network, 7]]);
  assertStrictEquals((calls[0] as unknown[])[0], network);
});

Deno.test("planRetry calls onReconnect once, with the attempt, the delay and the error", async () => {
  const infos: ReconnectInfo[] = [];
  await delay({ onReconnect: (info) => void infos.push(info) }, 2, 300);
  assertEquals(infos, [{ attempt: 2, delay: 600, error: network }]);
});

Deno.test("planRetry resolves after the promise that onReconnect returns", async () => {
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

Deno.test("planRetry does not call onReconnect if no attempt follows", async () => {
  const infos: ReconnectInfo[] = [];
  const onReconnect = (info: ReconnectInfo) => void infos.push(info);
  await delay({ onReconnect }, 1, undefined, statusError(401));
  await delay({ onReconnect, shouldReconnect: () => false }, 1);
  await assertRejects(() => delay({ onReconnect, maxAttempts: 0 }, 1));
  assertEquals(infos, []);
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
    Deno.test(`planRetry rejects with the error if ${name} ${how}`, async () => {
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
    Deno.test(`reconnectPolicy throws a RangeError if ${name} is ${String(value)} (${typeof value})`, () => {
      const error = assertThrows(
        () => reconnectPolicy({ [name]: value } as ReconnectOptions),
        RangeError,
      );
      assertStringIncludes(error.message, `Expected ${name} to be a `);
      assertStringIncludes(error.message, String(value));
    });
  }
}

for (const name of ["shouldReconnect", "onReconnect"]) {
  for (const value of [null, true, {}]) {
    Deno.test(`reconnectPolicy throws a TypeError if ${name} is ${JSON.stringify(value)}`, () => {
      const error = assertThrows(
        () => reconnectPolicy({ [name]: value } as ReconnectOptions),
        TypeError,
      );
      assertStringIncludes(error.message, `Expected ${name} to be a `);
    });
  }
}

Deno.test("reconnectPolicy uses the default for an option that is undefined", async () => {
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

Deno.test("reconnectPolicy accepts Infinity for maxDelay and maxAttempts", async () => {
  const options = { maxDelay: Infinity, maxAttempts: Infinity };
  assertEquals(await delay(options, 11), 1_024_000);
  assertEquals(await delay(options, 1_000_000), Infinity);
});

Deno.test("reconnectPolicy ignores later changes to its options", async () => {
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

// The error messages of the runtimes, verbatim.
const permanentErrors: Record<string, Error> = {
  "a redirect loop in Deno": chain(
    ["Fetch failed: Maximum number of redirects (20) reached"],
  ),
  "a redirect loop in Node": chain(
    ["fetch failed"],
    ["redirect count exceeded"],
  ),
  "a redirect loop in Bun": chain(["It failed", { code: "TooManyRedirects" }]),
  "a redirect loop in workerd": chain(
    ["Too many redirects.http://127.0.0.1/loop, http://127.0.0.1/loop"],
  ),
  "a redirect that the request forbids": chain(
    ["fetch failed"],
    ["unexpected redirect"],
  ),
  "a Request that Deno parses as a URL": chain(
    ["Invalid URL: '[object Request]'"],
  ),
  "a Request that Node parses as a URL": chain(
    ["Failed to parse URL from [object Request]"],
    ["Invalid URL", { code: "ERR_INVALID_URL" }],
  ),
  "a Request that Bun parses as a URL": chain(
    ["fetch() URL is invalid", { code: "ERR_INVALID_URL" }],
  ),
  "a blocked port in Deno": chain([
    "Fetch failed: Requests to port 6000 are blocked",
  ]),
  "a blocked port in Node": chain(["fetch failed"], ["bad port"]),
  "a redirect that the request forbids in Deno": chain([
    "Fetch failed: Encountered redirect while redirect mode is set to 'error'",
  ]),
  "a redirect that the request forbids in Bun": chain([
    'UnexpectedRedirect fetching "http://localhost:4/a".',
    { code: "UnexpectedRedirect" },
  ]),
  "a redirect loop in Safari": chain(["too many HTTP redirects"]),
  "a dispatcher of undici 8 in Node": chain(["fetch failed"], [
    "invalid onRequestStart method",
    { code: "UND_ERR_INVALID_ARG" },
  ]),
  "a URL that Bun does not support": chain([
    "protocol must be http:, https: or s3:",
    { code: "ERR_INVALID_ARG_VALUE" },
  ]),
};
for (const [what, cause] of Object.entries(permanentErrors)) {
  Deno.test(`planRetry retries after ${what} only if shouldReconnect returns true`, async () => {
    const error = new SseError("network", "", { cause });
    assertEquals(await delay({}, 1, undefined, error), undefined);
    assertEquals(
      await delay({ shouldReconnect: () => true }, 1, undefined, error),
      1000,
    );
  });
}

Deno.test("planRetry retries after a network error even if its URL contains a word such as redirect", async () => {
  for (
    const cause of [
      chain(["fetch failed"], [
        "error sending request for url (http://127.0.0.1/redirect?parse URL)",
      ]),
      chain(["fetch failed"], ["connect ECONNREFUSED 127.0.0.1:9"]),
      chain(["fetch failed"], [
        "error sending request for url (http://redirect.bad-port.test/?u=invalid%20url): client error (Connect): dns error",
      ]),
      chain(["fetch failed"], [
        "getaddrinfo ENOTFOUND redirect.example",
        { code: "ENOTFOUND" },
      ]),
      // A code decides, whatever the words are.
      chain([
        "getaddrinfo ENOTFOUND redirect count.too many redirects",
        { code: "ENOTFOUND" },
      ]),
      // A `DOMException` has a number as its code.
      new DOMException("The redirect.example operation failed", "NetworkError"),
      Object.assign(
        new AggregateError([
          chain(["connect ECONNREFUSED ::1:9", { code: "ECONNREFUSED" }]),
        ], ""),
        { code: "ECONNREFUSED" },
      ),
      "redirect",
      null,
      undefined,
    ]
  ) {
    const error = new SseError("network", "", { cause });
    assertEquals(await delay({}, 1, undefined, error), 1000);
  }
});

Deno.test("planRetry terminates if the causes of an error form a cycle", async () => {
  const cause = new Error("round and round");
  cause.cause = cause;
  const error = new SseError("network", "", { cause });
  assertEquals(await delay({}, 1, undefined, error), 1000);
});

Deno.test('planRetry copies the response body of the last error to "reconnect-failed"', async () => {
  const response = new Response(null, { status: 503 });
  const error = new SseError("status", "", { response, body: "Sorry" });
  const failure = await assertSseError(
    delay({ maxAttempts: 0 }, 1, undefined, error),
    "reconnect-failed",
  );
  assertEquals(failure.body, "Sorry");
});
