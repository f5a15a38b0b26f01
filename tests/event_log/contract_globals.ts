/** What the contract of event logs uses of `Deno`, on other runtimes. */
export interface ContractTest {
  name: string;
  fn(): Promise<void>;
}

export const tests: ContractTest[] = [];

Object.assign(globalThis, {
  Deno: {
    test: (test: ContractTest) => void tests.push(test),
    env: { get: () => undefined },
  },
});
