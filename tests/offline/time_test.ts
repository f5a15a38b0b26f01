// Passes with the stand-in and with @std, which have to behave the same.

import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";

Deno.test("FakeTime fakes every way to read the time", () => {
  using _time = new FakeTime(5000);
  assertEquals(Date.now(), 5000);
  assertEquals(new Date().getTime(), 5000);
  assertEquals(Date(), new Date(5000).toString());
  assertEquals(new Date(7).getTime(), 7);
});

Deno.test("FakeTime writes a value assigned to Date.now to the real Date", () => {
  const RealDate = Date;
  const { now } = RealDate;
  try {
    using _time = new FakeTime(5000);
    Date.now = () => 7;
    assertEquals(Date.now(), 5000);
    assertEquals(RealDate.now(), 7);
  } finally {
    RealDate.now = now;
  }
});
