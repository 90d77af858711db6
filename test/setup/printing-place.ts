/** The place in the sources that a stack leads to first; undefined if it is a test, or if the command line is behind it. */
export function printingPlace(stack: string, root: string): string | undefined {
  const places = stack
    .split("\n")
    .map((line) => /\(?(?:file:\/\/)?(\/[^()]*?):(\d+):\d+\)?$/.exec(line.trim()))
    .flatMap((match) => (match?.[1] && match[2] ? [{ file: match[1], line: match[2] }] : []))
    .filter(({ file }) => file.startsWith(root));
  const [first] = places;
  if (first === undefined || first.file.endsWith(".test.ts")) return undefined;
  if (places.some(({ file }) => file.startsWith(`${root}app/cli/`))) return undefined;
  return `src/${first.file.slice(root.length)}:${first.line}`;
}
