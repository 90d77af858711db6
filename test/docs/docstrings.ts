/** Extracts the `@example`s from the docstrings of the sources. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Example {
  /** Path from the root of the repository. */
  readonly file: string;
  /** Name of the declaration after the docstring; "module" if no declaration follows. */
  readonly of: string;
  readonly code: string;
}

/** Returns the files in `src/` that are part of the package. */
export function sourceFiles(root: string): readonly string[] {
  return readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => /(?<!\.(test|examples|d))\.ts$/.test(name))
    .map((name) => join("src", name))
    .sort();
}

/** Returns the examples of a file in order. */
export function examplesIn(root: string, file: string): readonly Example[] {
  const text = readFileSync(join(root, file), "utf8");
  return [...text.matchAll(/\/\*\*((?:(?!\*\/).)*)\*\/\s*([^\n]*)/gs)].flatMap(([, comment = "", next = ""]) => {
    const [, declaration = "module"] =
      /^(?:export )?(?:declare )?(?:async )?(?:function\*?|const|class|interface|type) (\w+)/.exec(next) ?? [];
    const lines = comment.replaceAll(/^[ \t]*\* ?/gm, "");
    // An example ends where the next tag begins.
    return [...lines.matchAll(/(?<=^|\s)@example\s(.*?)(?=^@\w|$(?![\s\S]))/gms)].map(([, code = ""]) => ({
      file,
      of: declaration,
      code: code.replaceAll(/^```\w*$/gm, "").trim(),
    }));
  });
}
