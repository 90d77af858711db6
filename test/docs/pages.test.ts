/** The pages that readers see: their links, their sentences, and the length of the read-me. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { anchors, links, sentences } from "./markdown.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const names = [
  ...["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "skills/pith/SKILL.md"],
  ...(await readdir(join(root, "docs"), { recursive: true }))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name.replaceAll("\\", "/")}`),
];
const pages = new Map(
  await Promise.all(names.map(async (name) => [name, await readFile(join(root, name), "utf8")] as const)),
);
const { stdout } = await promisify(execFile)("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root });
const [report]: { files: { path: string }[] }[] = JSON.parse(stdout);
const packed = report?.files.map(({ path }) => path) ?? [];
/** Pages of the npm package, those next to benchmarks and examples included. */
const shipped = packed.filter((file) => pages.has(file));
/** Logs and pictures are only in the repository, because they are larger than the rest of the package. */
const repositoryFolders = ["bench/logs/", "docs/images/"];
const isGenerated = (page: string): boolean => page.startsWith("<!-- Generated");

describe("links", () => {
  test.each([...pages])("%s: every link leads to an existing file and heading", (name, page) => {
    const broken = links(page).filter((link) => {
      const [file = "", anchor] = link.split("#");
      const target = file === "" ? join(root, name) : join(root, dirname(name), file);
      return !existsSync(target) || (anchor !== undefined && !anchors(readFileSync(target, "utf8")).has(anchor));
    });
    expect(broken).toEqual([]);
  });

  test.each(shipped)("%s: every link leads to a file of the package, a log or a picture", (name) => {
    const missing = links(pages.get(name) ?? "").filter((link) => {
      const target = join(dirname(name), link.split("#")[0] || `./${basename(name)}`).replace(/\/$/, "");
      if (repositoryFolders.some((folder) => target.startsWith(folder))) return false;
      return !packed.some((file) => file === target || file.startsWith(`${target}/`));
    });
    expect(missing).toEqual([]);
  });

  test("resolve the second of two headings with the same name", () => {
    expect(anchors("# What `a` is, now\n## Data\n## Data\n")).toEqual(new Set(["what-a-is-now", "data", "data-1"]));
  });
});

describe("sentences", () => {
  const limit = 25;
  const isLong = (sentence: string): boolean =>
    sentence.split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word)).length > limit;

  test(`have at most ${limit} words`, () => {
    const long = [...pages]
      .filter(([, page]) => !isGenerated(page))
      .flatMap(([name, page]) =>
        sentences(page)
          .filter(isLong)
          .map((sentence) => `${name}: ${sentence}`),
      );
    expect(long).toEqual([]);
  });

  test("come from paragraphs and list items, without code, tables and headings", () => {
    const page =
      "# A title\n\nOne `a b c` here. And [two](x.md#y).\n\n```sh\nno sentence\n```\n\n| a | b |\n\n- an item\n- another\n";
    expect(sentences(page)).toEqual(["One Code here.", "And [two].", "an item", "another"]);
  });
});

test.each([
  ["README.md", 80],
  ["CONTRIBUTING.md", 80],
  ["docs/architecture.md", 150],
])("%s has at most %i lines", (name, maxLines) => {
  expect(pages.get(name)?.trimEnd().split("\n").length).toBeLessThanOrEqual(maxLines);
});

test("the page about programs lists every entry point of the package", async () => {
  const { exports } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { exports: object };
  const entries = Object.keys(exports)
    .filter((name) => !name.endsWith(".json"))
    .map((name) => name.replace(/^\./, "pith"));
  const listed = [...(pages.get("docs/programs.md") ?? "").matchAll(/^\| `(pith[\w/]*)` \|/gm)].map(([, name]) => name);
  expect(listed.toSorted()).toEqual(entries.toSorted());
});

test.each(["analysis", "graph", "onnx", "ops", "recipe", "report", "search"])(
  "pith/%s is not an entry point",
  (name) => {
    const { resolve } = createRequire(join(root, "package.json"));
    expect(() => resolve(`pith/${name}`)).toThrow(expect.objectContaining({ code: "ERR_PACKAGE_PATH_NOT_EXPORTED" }));
  },
);
