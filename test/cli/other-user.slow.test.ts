/** What another account of the machine learns of a page, its models and its address. */
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findChromium, type OpenPage, openPage } from "../../src/cli/browser/chromium.ts";
import { type PageServer, servePage } from "../../src/cli/browser/server.ts";
import { temporaryFolder } from "../temporary.ts";

const program = await findChromium().catch(() => undefined);
/** The account "nobody" of Linux systems. */
const nobody = 65534;
const why =
  program === undefined
    ? "(skipped: there is no Chromium)"
    : process.platform !== "linux" || process.getuid?.() !== 0
      ? "(skipped: only root on Linux can run a process as another account)"
      : "";

/** Runs a program of Node as another account, which cannot read the files of this one. */
async function asNobody(text: string): Promise<unknown> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", text], {
    ...{ uid: nobody, gid: nobody, cwd: "/", env: {} },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let out = "";
  for await (const part of child.stdout.setEncoding("utf8")) out += part;
  return JSON.parse(out);
}

describe.skipIf(why !== "")(`another account ${why}`, () => {
  const folder = temporaryFolder();
  const model = join(folder, "private", "model.onnx");
  let server: PageServer;
  let page: OpenPage;

  beforeAll(async () => {
    mkdirSync(join(folder, "private"));
    writeFileSync(model, "secret weights");
    chmodSync(join(folder, "private"), 0o700);
    let ready: () => void = () => {};
    const told = new Promise<void>((resolve) => {
      ready = resolve;
    });
    server = await servePage({
      runtime: "wasm",
      files: new Map([["model/0.onnx", model]]),
      next: () => {
        ready();
        return new Promise(() => {});
      },
      onProgress: () => {},
      onFailure: (text) => expect(text).toBe(""),
    });
    page = await openPage(program ?? "", server.address, folder);
    await told;
  }, 120_000);
  afterAll(async () => {
    await page?.close();
    await server?.close();
  });

  test("sees no address in the arguments of processes, and gets nothing from the server", async () => {
    const { port, origin, pathname } = new URL(server.address);
    const [, token = ""] = pathname.split("/");
    expect(await (await fetch(`${origin}/${token}/model/0.onnx`)).text()).toBe("secret weights");
    const seen = await asNobody(`
      import { readdirSync, readFileSync } from "node:fs";
      const read = (path) => { try { return readFileSync(path, "utf8"); } catch (error) { return error.code; } };
      const all = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name) && name !== String(process.pid));
      const lines = all.map((pid) => read("/proc/" + pid + "/cmdline")).filter((line) => line.includes(${JSON.stringify(folder)}));
      const tokens = lines.flatMap((line) => line.match(/[0-9a-f]{32}/g) ?? []);
      const paths = ["", "model/0.onnx", ...tokens.flatMap((token) => [token + "/", token + "/model/0.onnx"])];
      const answers = await Promise.all(paths.map(async (path) => {
        const response = await fetch("http://127.0.0.1:${port}/" + path);
        return response.status + (await response.text());
      }));
      console.log(JSON.stringify({ lines, answers, file: read(${JSON.stringify(model)}) }));`);
    const { lines, answers, file } = seen as { lines: string[]; answers: string[]; file: string };
    expect(lines.join("\n")).toContain("--remote-debugging-pipe");
    expect(lines.filter((line) => line.includes(token) || line.includes(`:${port}`))).toEqual([]);
    expect(new Set(answers)).toEqual(new Set(["404"]));
    expect(file).toBe("EACCES");
  });
});
