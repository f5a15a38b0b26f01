// `FakeTime` of @std/testing/time, based on fake timers from npm. It has only the
// members that the tests use.

import fakeTimers from "npm:@sinonjs/fake-timers@15.5.0";

interface Clock {
  readonly now: number;
  tick(ms: number): number;
  next(): number;
  countTimers(): number;
  uninstall(): void;
}

const RealDate = Date;
const realSetTimeout = globalThis.setTimeout;

let currentClock: Clock | undefined;

function fakeNow(): number {
  return currentClock?.now ?? RealDate.now();
}

// A proxy as in @std, not the fake `Date` of the npm package: a value that a test
// assigns to `Date.now` is written to the real `Date`.
const FakeDate = new Proxy(RealDate, {
  construct: (_target, args) =>
    Reflect.construct(RealDate, args.length > 0 ? args : [fakeNow()]),
  apply: () => new RealDate(fakeNow()).toString(),
  get: (target, property, receiver) =>
    property === "now" ? fakeNow : Reflect.get(target, property, receiver),
});

export class FakeTime {
  #clock: Clock;
  #abortSignalTimeout = AbortSignal.timeout;

  constructor(start?: number | string | Date | null) {
    this.#clock = fakeTimers.withGlobal(globalThis).install({
      now: new RealDate(start ?? RealDate.now()),
      toFake: [
        "setTimeout",
        "clearTimeout",
        "setInterval",
        "clearInterval",
      ],
    });
    currentClock = this.#clock;
    globalThis.Date = FakeDate;
    AbortSignal.timeout = (ms: number) => {
      const controller = new AbortController();
      setTimeout(() => {
        controller.abort(new DOMException("Signal timed out.", "TimeoutError"));
      }, ms);
      return controller.signal;
    };
  }

  get now(): number {
    return this.#clock.now;
  }

  /** Waits in real time, so that pending I/O and promises proceed. */
  delay(ms: number): Promise<void> {
    return new Promise((resolve) => void realSetTimeout(resolve, ms));
  }

  runMicrotasks(): Promise<void> {
    return this.delay(0);
  }

  tick(ms = 0): void {
    if (ms < 0) throw new RangeError("Cannot go back in time");
    this.#clock.tick(ms);
  }

  async tickAsync(ms = 0): Promise<void> {
    await this.runMicrotasks();
    this.tick(ms);
  }

  next(): boolean {
    if (this.#clock.countTimers() === 0) return false;
    // Runs all timers that are due at this time, as @std does.
    this.#clock.next();
    this.#clock.tick(0);
    return true;
  }

  async nextAsync(): Promise<boolean> {
    await this.runMicrotasks();
    return this.next();
  }

  restore(): void {
    AbortSignal.timeout = this.#abortSignalTimeout;
    globalThis.Date = RealDate;
    currentClock = undefined;
    this.#clock.uninstall();
  }

  [Symbol.dispose](): void {
    this.restore();
  }
}
