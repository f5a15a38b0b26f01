import type { SseConnection } from "../../mod.ts";
import { deadline } from "./deadline.ts";

/** The data of the next events, read within the deadline. */
export async function dataOf(
  sse: SseConnection,
  count: number,
): Promise<string[]> {
  const data: string[] = [];
  while (data.length < count) {
    const { value } = await deadline(sse.next(), "an event");
    data.push(value!.data);
  }
  return data;
}
