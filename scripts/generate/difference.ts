/** The first line that differs, as a sentence. */
export function firstDifference(before: string, after: string): string {
  const [old, fresh] = [before.split("\n"), after.split("\n")];
  const index = Array.from({ length: Math.max(old.length, fresh.length) }).findIndex(
    (_, line) => old[line] !== fresh[line],
  );
  if (index < 0) return "no difference";
  return `line ${index + 1} says ${quoted(old[index])}, the source ${quoted(fresh[index])}`;
}

function quoted(line: string | undefined): string {
  return line === undefined ? "nothing" : `"${line.trim().slice(0, 100)}"`;
}
