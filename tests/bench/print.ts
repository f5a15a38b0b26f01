/** How to measure and print, as given on the command line. */
export interface Options {
  rounds: number;
  /** Duration of a measurement in milliseconds. */
  ms: number;
  /** Whether each contender of the table gets a process of its own. */
  isolated: boolean;
  markdown: boolean;
  contender: (name: string) => boolean;
  workload: (name: string) => boolean;
}

/** Prints a table as text or as Markdown. Numbers are aligned to the right. */
export function printTable(
  title: string,
  head: string[],
  rows: string[][],
  markdown: boolean,
) {
  const widths = head.map((_, column) =>
    Math.max(3, ...[head, ...rows].map((row) => row[column].length))
  );
  const line = (row: string[]) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])
    );
  const rule = widths.map((width, column) =>
    column === 0 ? "-".repeat(width) : "-".repeat(width - 1) + ":"
  );
  if (markdown) {
    console.log(`\n**${title}**\n`);
    for (const row of [line(head), rule, ...rows.map(line)]) {
      console.log(`| ${row.join(" | ")} |`);
    }
  } else {
    console.log(`\n${title}\n`);
    for (const row of [head, ...rows]) console.log(line(row).join("  "));
  }
}

/** Formats a number with three significant digits. */
export function threeDigits(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return "–";
  return value.toLocaleString("en", { maximumSignificantDigits: 3 });
}

export const ratio = (value: number | undefined) =>
  value === undefined || Number.isNaN(value) ? "–" : `${value.toFixed(2)}×`;

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2
    ? sorted[middle]
    : (sorted[middle - 1] + sorted[middle]) / 2;
}
