import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { ServerSentEvent } from "../../mod.ts";

Deno.test("ServerSentEvent is an empty message by default", () => {
  for (const event of [new ServerSentEvent(), new ServerSentEvent({})]) {
    assertEquals(
      { ...event },
      { event: "message", data: "", id: "", retry: undefined },
    );
  }
});

Deno.test("ServerSentEvent has the given fields as own properties", () => {
  const fields = { event: "tick", data: "a\nb", id: "é☃🎉", retry: 0 };
  const event = new ServerSentEvent(fields);
  assertEquals({ ...event }, fields);
  assertInstanceOf(event, ServerSentEvent);
});

Deno.test("ServerSentEvent is a message if its type is empty", () => {
  assertEquals(new ServerSentEvent({ event: "" }).event, "message");
});

Deno.test("ServerSentEvent uses the default of each field that is undefined", () => {
  const event = new ServerSentEvent({
    event: undefined,
    data: undefined,
    id: undefined,
    retry: undefined,
  });
  assertEquals(
    { ...event },
    { event: "message", data: "", id: "", retry: undefined },
  );
});

Deno.test("ServerSentEvent copies another ServerSentEvent", () => {
  const event = new ServerSentEvent({ event: "e", data: "a", id: "1" });
  assertEquals({ ...new ServerSentEvent(event) }, { ...event });
});

Deno.test("ServerSentEvent is serialized as JSON with its fields", () => {
  const event = new ServerSentEvent({ data: "a", id: "1", retry: 5 });
  assertEquals(
    JSON.parse(JSON.stringify(event)),
    { event: "message", data: "a", id: "1", retry: 5 },
  );
});

Deno.test("ServerSentEvent.json() parses the data", () => {
  const event = new ServerSentEvent({ data: '{"token":"é","n":[1,2]}' });
  const { token, n } = event.json<{ token: string; n: number[] }>();
  assertEquals(token, "é");
  assertEquals(n, [1, 2]);
  assertEquals(new ServerSentEvent({ data: "null" }).json(), null);
  assertEquals(new ServerSentEvent({ data: "[1,\n2]" }).json(), [1, 2]);
});

Deno.test("ServerSentEvent.json() throws if the data is not JSON", () => {
  for (const data of ["", "[DONE]", "{"]) {
    assertThrows(() => new ServerSentEvent({ data }).json(), SyntaxError);
  }
});
