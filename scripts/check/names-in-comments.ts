/** A file or name in a comment, such as `graph.ts`, `openTask` or `openTask(model)`, exists: an outdated name misleads the reader who follows it. */
import type { Finding, Source } from "./sources.ts";

const fileName = /^(?:[\w-]+\/)*[\w-][\w.-]*\.ts$/;
/** Names of other libraries have underscores, dots or a capital first letter, as `value_info`, `nn.Conv2d` and `CenterCrop`. */
const identifier = /^[a-z]+[A-Z]\w*$/;

export function checkNamesInComments(sources: readonly Source[]): Finding[] {
  const words = new Set(
    sources.flatMap(({ syntax }) =>
      syntax.text.split("\n").flatMap((line) => splitLine(line).code.match(/\w+/g) ?? []),
    ),
  );
  const exists = (name: string): boolean => {
    if (fileName.test(name)) return sources.some(({ file }) => `/${file}`.endsWith(`/${name}`));
    return !identifier.test(name) || words.has(name);
  };
  return sources
    .filter(({ file }) => /^(src|studio|test|scripts)\//.test(file))
    .flatMap(({ file, syntax }) =>
      syntax.text
        .split("\n")
        .flatMap((line, index) =>
          [...splitLine(line).comment.matchAll(/`([^`\s(]+)(?:\([^`]*\))?`/g)]
            .filter(([, name = ""]) => !exists(name))
            .map(([quoted]) => ({
              file,
              line: index + 1,
              rule: "names-in-comments",
              text: `names ${quoted}, which does not exist.`,
            })),
        ),
    );
}

function splitLine(line: string): { readonly code: string; readonly comment: string } {
  const start = /^\s*\*/.test(line) ? 0 : line.search(/(?<=^|\s)(?:\/\/|\/\*)/);
  return start < 0 ? { code: line, comment: "" } : { code: line.slice(0, start), comment: line.slice(start) };
}
