/** The package as a user gets it: compiled, packed, installed into an empty folder without the optional runtime, and started. */
import { execFile } from "node:child_process";
import { cp, mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build, type Message } from "esbuild";
import { beforeAll, describe, expect, inject, test } from "vitest";
import { buildStudio } from "../scripts/build/studio.ts";
import { temporaryFolder } from "./temporary.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const manifest: Manifest = JSON.parse(await readFile(path.join(root, "package.json"), "utf8"));

interface Manifest {
  readonly version: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

/** As on the user's machine: nothing of the npm that started these tests, and no condition that leads to the sources. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(npm_(package|lifecycle)_|npm_config_local_prefix$|NODE_OPTIONS$|VITEST|INIT_CWD$)/.test(name),
  ),
);
const run = async (folder: string, program: string, ...options: readonly string[]): Promise<string> => {
  const { stdout } = await promisify(execFile)(program, options, { cwd: folder, env: environment, maxBuffer: 1 << 26 });
  return stdout;
};

describe("the packed package", () => {
  let home = "";
  let user = "";
  let packed: readonly string[] = [];
  let unpackedSize = 0;

  beforeAll(async () => {
    home = temporaryFolder();
    const [built, dependencies] = [path.join(home, "built"), path.join(home, "user")];
    user = dependencies;
    await mkdir(user);
    await mkdir(built);
    // Outside of the working tree, so that the test neither depends on dist/ nor changes it. Declarations are checked elsewhere.
    const pages = ["README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md", "docs", "examples", "skills"];
    for (const name of ["package.json", ...pages])
      await cp(path.join(root, name), path.join(built, name), { recursive: true });
    const testJobs = path.join(inject("compiled"), "jobs");
    const filter = (source: string): boolean => source !== testJobs;
    await cp(inject("compiled"), path.join(built, "dist"), { recursive: true, filter });
    await buildStudio(root, path.join(built, "dist/studio"));
    const [report]: { filename: string; unpackedSize: number; files: { path: string }[] }[] = JSON.parse(
      await run(built, "npm", "pack", "--ignore-scripts", "--json", "--pack-destination", home),
    );
    packed = report?.files.map((file) => file.path) ?? [];
    unpackedSize = report?.unpackedSize ?? Number.NaN;
    await run(
      user,
      "npm",
      "install",
      "--ignore-scripts",
      "--prefer-offline",
      "--omit=optional",
      "--no-audit",
      "--no-fund",
      path.join(home, report?.filename ?? ""),
    );
  }, 180_000);

  test("contains the build, the license, the README and examples, and no sources or tests", () => {
    expect(packed).toEqual(
      expect.arrayContaining(["LICENSE", "README.md", "package.json", "dist/index.js", "dist/app/cli/main.js"]),
    );
    expect(packed.filter((name) => /^(?!examples\/).*(?<!\.d)\.ts$|\.test\./.test(name))).toEqual([]);
  });

  test("stays small: without declarations, at most 260 files and 3.95 MB", () => {
    expect(packed.length).toBeLessThanOrEqual(260);
    expect(unpackedSize).toBeLessThanOrEqual(3_950_000);
  });

  test("contains the pages that the README links to", async () => {
    const page = await readFile(path.join(root, "README.md"), "utf8");
    const pages = [...page.matchAll(/\]\((?!http)([^)#]+)/g)].map(([, file = ""]) => file);
    expect(pages).toContain("docs/data.md");
    expect(packed).toEqual(expect.arrayContaining(pages.filter((file) => !file.endsWith("/"))));
  });

  test("contains the studio with its examples, without a WebAssembly runtime", () => {
    const studio = packed.filter((name) => name.startsWith("dist/studio/"));
    expect(studio).toEqual(expect.arrayContaining(["dist/studio/page/index.html", "dist/studio/session.js"]));
    expect(studio.filter((name) => !/\.(html|css|js|zip)$/.test(name))).toEqual([]);
  });

  test("npx pith --version prints the version", async () => {
    expect(await run(user, "npx", "pith", "--version")).toBe(`${manifest.version}\n`);
  });

  const browserBuild = {
    bundle: true,
    platform: "browser",
    format: "esm",
    outdir: "out",
    write: false,
    metafile: true,
    logLevel: "silent",
  } as const;

  test("bundlers for browsers find all modules of each entry point", async () => {
    const { errors } = await build({
      ...browserBuild,
      entryPoints: Object.keys(manifest.exports)
        .map((name) => path.posix.join("pith", name))
        .filter((name) => !name.endsWith(".json")),
      absWorkingDir: user,
      splitting: true,
      external: ["#onnxruntime", "onnxruntime-web"],
    }).catch((error: { errors: Message[] }) => error);
    expect(errors.map(({ text, location }) => `${location?.file}: ${text}`)).toEqual([]);
  });

  test("the page that runs models in a browser imports nothing that its server lacks", async () => {
    const { metafile } = await build({
      ...browserBuild,
      entryPoints: ["node_modules/pith/dist/app/cli/browser/page.js"],
      absWorkingDir: user,
      packages: "external",
      external: ["#platform", "#root", "#onnxruntime"],
    });
    const imports = Object.values(metafile.outputs).flatMap((output) => output.imports.map((each) => each.path));
    const served = ["#onnxruntime", "#platform", "#root", "onnxruntime-web", "valibot"];
    expect(imports.filter((name) => !served.includes(name))).toEqual([]);
    expect(imports).toContain("#onnxruntime");
  });

  test("every entry point loads in plain Node, although no runtime is installed", async () => {
    const runtime = Object.keys(manifest.optionalDependencies);
    const entries = Object.keys(manifest.exports)
      .map((name) => path.posix.join("pith", name))
      .filter((name) => !name.endsWith(".json"));
    const script = `
      const loaded = {};
      for (const name of ${JSON.stringify(entries)}) loaded[name] = Object.keys(await import(name)).length;
      for (const name of ${JSON.stringify(runtime)}) loaded[name] = await import(name).then(() => "there", (error) => error.code);
      console.log(JSON.stringify(loaded));`;
    const loaded: Record<string, number | string> = JSON.parse(
      await run(user, process.execPath, "--input-type=module", "--eval", script),
    );
    expect(runtime).not.toEqual([]);
    for (const name of runtime) expect(loaded[name], name).toBe("ERR_MODULE_NOT_FOUND");
    for (const name of entries) expect(loaded[name], name).toBeGreaterThan(0);
  });
});
