/** A file named in a comment of src, as `graph.ts`, exists: a name that was changed misleads whoever follows it. */
import { basename } from "node:path/posix";
import type { Finding, Source } from "./sources.ts";

export function checkNamedFiles(sources: readonly Source[]): Finding[] {
  const names = new Set(sources.map(({ file }) => basename(file)));
  return sources
    .filter(({ file }) => file.startsWith("src/"))
    .flatMap(({ file, syntax }) =>
      syntax.text.split("\n").flatMap((line, at) =>
        [...(/(?:\*|\/\/).*/.exec(line)?.[0].matchAll(/`(?:[\w-]+\/)*([\w-][\w.-]*\.ts)`/g) ?? [])]
          .filter(([, name = ""]) => !names.has(name))
          .map(([all]) => ({
            file,
            line: at + 1,
            rule: "named-files",
            text: `names ${all}, and there is no such file.`,
          })),
      ),
    );
}
