/** `npm run site`: builds the site from docs/, the public names and the studio, and serves it on the loopback address. `--build` only builds it. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { galleryFiles, galleryPage } from "./gallery/page.ts";
import { landingPage } from "./site/landing.ts";
import { pageText } from "./site/page-text.ts";
import { serve } from "./site/serve.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const [site, dist] = [join(root, "site"), join(root, "site/dist")];
/** Web address of the repository, which GitHub's workflows know. */
const { GITHUB_SERVER_URL: host, GITHUB_REPOSITORY: name } = process.env;
const repository = host === undefined || name === undefined ? undefined : `${host}/${name}`;
/** Folder of what the site is made of, inside of the site, because packages are found from there. */
const parts = mkdtempSync(join(site, ".parts-"));
const [pages, entries] = [join(parts, "pages"), join(parts, "entries")];

/** Pages outside of docs/, by their address on the site. */
const outerPages = {
  "start.md": "README.md",
  "contributing.md": "CONTRIBUTING.md",
  "changelog.md": "CHANGELOG.md",
  "security.md": "SECURITY.md",
};

/** Pages of wide tables, which take the room of the outline. */
const tablePages: ReadonlySet<string> = new Set([
  "README.md",
  "docs/benchmarks.md",
  "docs/real-models.md",
  "docs/ops.md",
]);

function collectPages(): void {
  const guides = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".md"));
  const sources = { ...Object.fromEntries(guides.map((name) => [name, `docs/${name}`])), ...outerPages };
  const texts = Object.entries(sources).map(
    ([address, source]) => ({ address, source, text: readFileSync(join(root, source), "utf8") }) as const,
  );
  const places = new Map(
    texts.map(({ address, source, text }) => [source, { address, title: /^# (.*)/m.exec(text)?.[1] }]),
  );
  for (const { address, source, text } of texts) {
    mkdirSync(dirname(join(pages, address)), { recursive: true });
    const settings = tablePages.has(source)
      ? `---\naside: false\npageClass: ${posix.basename(source, ".md")}\n---\n\n`
      : "";
    writeFileSync(join(pages, address), settings + pageText(text, source, places, repository));
  }
  cpSync(join(root, "docs/images"), join(pages, "public/images"), {
    recursive: true,
    filter: (path) => !path.endsWith(".md"),
  });
  cpSync(join(root, "docs/recipe.schema.json"), join(pages, "public/recipe.schema.json"));
  writeFileSync(join(pages, "index.md"), landingPage());
  writeFileSync(join(pages, "gallery.md"), galleryPage());
  mkdirSync(join(pages, "public/gallery"));
  for (const [address, text] of Object.entries(galleryFiles())) writeFileSync(join(pages, "public", address), text);
}

function run(program: string, words: readonly string[], folder: string, env: NodeJS.ProcessEnv = {}): void {
  const { status } = spawnSync(process.execPath, [join(root, "node_modules", program), ...words], {
    cwd: folder,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  if (status !== 0) throw new Error(`${program} ended with ${status}.`);
}

/** Names of entry points → their contents, from the table of the guide. */
const contents: ReadonlyMap<string, string> = new Map(
  [...readFileSync(join(root, "docs/programs.md"), "utf8").matchAll(/^\| `(pith[\w/]*)` \| (.*) \|$/gm)].map(
    ([, name = "", text = ""]) => [name, text],
  ),
);

/** Writes a module for each entry point, whose path is the name that programs import, with its contents or the comment of the entry point. */
function collectEntries(): void {
  const { exports }: { readonly exports: Readonly<Record<string, { readonly "pith-source"?: string }>> } = JSON.parse(
    readFileSync(join(root, "package.json"), "utf8"),
  );
  for (const [name, { "pith-source": source }] of Object.entries(exports)) {
    if (source === undefined) continue;
    const path = join(entries, `${posix.join("pith", name)}.ts`);
    mkdirSync(dirname(path), { recursive: true });
    const comment = /^\/\*\*.*?\*\/\n/s.exec(readFileSync(join(root, source), "utf8"))?.[0];
    const text = contents.get(posix.join("pith", name)) ?? "";
    writeFileSync(
      path,
      `${comment ?? `/** ${text.charAt(0).toUpperCase()}${text.slice(1)}. @module */\n`}export * from ${JSON.stringify(relative(dirname(path), join(root, source)).replaceAll("\\", "/"))};\n`,
    );
  }
}

/**
 * Adds the contents of entry points to their list. Leaves out the types of a variable that fill a page: the schema of a pass, whose options have a type with a name. A parameter without a name, because
 * the function takes its fields, is called "object".
 */
function shortenReference(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".md")) continue;
    const text = readFileSync(join(folder, name), "utf8");
    writeFileSync(
      join(folder, name),
      text
        .replace(/^- \[(pith[\w/]*)\]\(.*\)$/gm, (line, entry: string) => `${line}: ${contents.get(entry)}`)
        .replace(/^(> `const` .*?\]\([^)\s]*\))\\<.{400,}$/gm, "$1")
        .replace(/\\?_\\?_namedParameters/g, "object"),
    );
  }
}

try {
  collectPages();
  collectEntries();
  writeFileSync(join(parts, "tsconfig.json"), '{ "extends": "../../tsconfig.json", "include": ["entries"] }');
  run(
    "typedoc/bin/typedoc",
    [
      ...["--options", join(site, "typedoc.json"), "--tsconfig", join(parts, "tsconfig.json")],
      ...["--entryPoints", join(entries, "pith.ts"), "--entryPoints", join(entries, "pith/*.ts")],
      ...["--basePath", entries, "--out", join(pages, "api")],
    ],
    root,
  );
  shortenReference(join(pages, "api"));
  run("vitepress/bin/vitepress.js", ["build"], site, { SITE_PAGES: pages, SITE_REPOSITORY: repository });
  run("vite/bin/vite.js", ["build", "--outDir", join(dist, "studio"), "--emptyOutDir"], join(root, "studio"));
} finally {
  rmSync(parts, { recursive: true, force: true });
}
if (!process.argv.includes("--build")) await serve(dist);
