/** An event too large to keep a copy of: its chunks are made as they are read. */
export const shapes = {
  "one line": { head: "data: ", tile: "x", tail: "\n\n" },
  "one line, beyond Latin-1": { head: "data: —", tile: "x", tail: "\n\n" },
  "lines of 100": { head: "", tile: `data: ${"x".repeat(93)}\n`, tail: "\n" },
  "endless line": { head: "data: ", tile: "x", tail: "" },
  "endless lines": { head: "", tile: `data: ${"x".repeat(93)}\n`, tail: "" },
  "endless comment": { head: ": ", tile: "x", tail: "" },
  "endless unknown field": { head: "date: ", tile: "x", tail: "" },
};

export type Shape = keyof typeof shapes;

/** So many bytes at most, the head and the tail in chunks of their own. */
export function largeEvent(
  shape: Shape,
  bytes: number,
  chunkSize: number,
): Iterable<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder();
  const { tile } = shapes[shape];
  const head = encoder.encode(shapes[shape].head);
  const tail = encoder.encode(shapes[shape].tail);
  const tiles = encoder.encode(
    tile.repeat(Math.ceil(chunkSize / tile.length) + 1),
  );
  const room = bytes - head.length - tail.length;
  const middle = room - room % tile.length;
  return {
    *[Symbol.iterator]() {
      if (head.length) yield head;
      for (let at = 0; at < middle; at += chunkSize) {
        const from = at % tile.length;
        yield tiles.slice(from, from + Math.min(chunkSize, middle - at));
      }
      if (tail.length) yield tail;
    },
  };
}
