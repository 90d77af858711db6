/** Tests workers of a queue that die or stop, and servers that restart. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Queue } from "bullmq";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { ownVersion as version } from "../../../src/app/cli/queue/queue.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { outliers } from "../../outliers.ts";
import { temporaryFolder } from "../../temporary.ts";
import { textToText } from "../../transformers-js/small-folders.ts";
import { dataAt } from "./data-request.ts";
import { freePort, noServer, startRedis } from "./redis-server.ts";
import { pith, program } from "./run.ts";
import { smallModels } from "./small-models.ts";

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const ended = (child: ChildProcess) => new Promise((resolve) => child.once("close", resolve));

describe.skipIf(noServer !== "")(`a queue ${noServer}`, () => {
  const { at } = smallModels();
  const folder = temporaryFolder();
  const store = join(folder, "store");
  const running = new Set<ChildProcess>();
  let port = 0;
  let stopServer: (() => Promise<void>) | undefined;

  const start = (
    command: string,
    words: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): { readonly child: ChildProcess; said(): string } => {
    const child = spawn(command, words, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    let text = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
    running.add(child);
    child.once("close", () => running.delete(child));
    return { child, said: () => text };
  };
  const worker = (its = store, ...more: readonly string[]) =>
    start(process.execPath, [program, "worker", `redis://localhost:${port}`, "--store", its, ...more]);
  const until = async (holds: () => boolean): Promise<void> => {
    for (let remaining = 600; remaining > 0 && !holds(); remaining--) await pause(100);
    expect(holds()).toBe(true);
  };
  const searching = (out: string, ...more: readonly string[]) => [
    ...["compress", at("outliers.onnx"), "--data", at("points.csv"), "--steps", "9", "--for", "size"],
    ...["--max-drop", "2%", ...more, "-o", out],
  ];

  beforeAll(async () => {
    await save(parseModel(outliers), at("outliers.onnx"));
    port = await freePort();
  });
  // A failed test leaves processes behind.
  afterEach(async () => {
    for (const child of running) child.kill("SIGKILL");
    await stopServer?.();
  });

  test("a killed worker, a restarted worker and a restarted server do not change the result", async () => {
    stopServer = await startRedis(folder, port);
    const [killed, stopped, steady] = [worker(), worker(), worker()];
    for (const { said } of [killed, stopped, steady]) await until(() => said().includes("takes work from"));
    const compress = start(process.execPath, [
      program,
      ...searching(at("far"), "--queue", `redis://localhost:${port}`, "--store", store),
    ]);
    await until(() => existsSync(join(store, "runs")));
    await pause(1500);
    killed.child.kill("SIGKILL");
    stopped.child.kill("SIGINT");
    await ended(stopped.child);
    await stopServer();
    stopServer = await startRedis(folder, port);
    const again = worker();
    await ended(compress.child);
    expect(compress.child.exitCode, compress.said()).toBe(0);
    const { code, err } = await pith(...searching(at("near")));
    expect(code, err).toBe(0);
    for (const name of ["model.onnx", "recipe.yaml"])
      expect(readFileSync(join(at("far"), name))).toEqual(readFileSync(join(at("near"), name)));
    const [far, near] = ["far", "near"].map((name) => {
      const { search } = JSON.parse(readFileSync(join(at(name), "run.json"), "utf8"));
      return search.points.map(({ seconds: _, ...point }: { readonly seconds: number }) => point);
    });
    expect(far).toEqual(near);
    for (const { child } of [steady, again]) child.kill("SIGINT");
    await Promise.all([steady, again].map(({ child }) => ended(child)));
    const done = [killed, stopped, steady, again].flatMap(
      ({ said }) => said().match(/^.* of outliers\.onnx: /gm) ?? [],
    );
    expect(done.length).toBeGreaterThan(0);
    expect(new Set(done).size).toBe(done.length);
    expect(readdirSync(join(store, "runs"))).toHaveLength(1);
  }, 240_000);

  test("workers do not change the results of recipes on several models", async () => {
    stopServer = await startRedis(folder, port);
    const workers = [worker(), worker()];
    for (const { said } of workers) await until(() => said().includes("takes work from"));
    const queue = ["--queue", `redis://localhost:${port}`, "--store", store];
    const data = ["--data", at("points.csv")];
    const both = async (...words: readonly string[]): Promise<void> => {
      const far = start(process.execPath, [program, ...words, ...queue, "-o", at(`${words[0]}-far`)]);
      await ended(far.child);
      expect(far.child.exitCode, far.said()).toBe(0);
      const near = await pith(...words, "-o", at(`${words[0]}-near`));
      expect(near.code, near.err).toBe(0);
    };
    writeFileSync(at("recipe.yaml"), "steps:\n  - prune: { amount: 10% }\n  - train: { epochs: 1 }\n");
    await both("compress", at("outliers.onnx"), at("right.onnx"), ...data, "-r", at("recipe.yaml"), "--force");
    for (const name of ["outliers", "right"])
      expect(readFileSync(join(at("compress-far"), name, "model.onnx"))).toEqual(
        readFileSync(join(at("compress-near"), name, "model.onnx")),
      );
    for (const { child } of workers) child.kill("SIGINT");
    await Promise.all(workers.map(({ child }) => ended(child)));
    const logs = workers.map((one) => one.said()).join("\n");
    expect(logs).toMatch(/prune \+ train of outliers\.onnx: /);
    expect(logs).toMatch(/prune \+ train of right\.onnx: /);
    expect(logs).not.toContain("failed");
  }, 240_000);

  test("workers do not change the results of a search for each model of a folder", async () => {
    stopServer = await startRedis(folder, port);
    const workers = [worker(), worker()];
    for (const { said } of workers) await until(() => said().includes("takes work from"));
    await textToText(at("t5"));
    const { integer } = random(1, "texts");
    const line = () => Array.from({ length: 2 + integer(6) }, () => `w${1 + integer(95)}`).join(" ");
    writeFileSync(at("lines.txt"), Array.from({ length: 64 }, () => `${line()}\n`).join(""));
    const words = ["compress", at("t5"), "--text", at("lines.txt"), "--for", "size", "--steps", "8"];
    const compressWords = [...words, "--techniques", "quantize"];
    const queue = ["--queue", `redis://localhost:${port}`, "--store", store];
    const far = start(process.execPath, [program, ...compressWords, ...queue, "-o", at("t5-far")]);
    await ended(far.child);
    expect(far.child.exitCode, far.said()).toBe(0);
    const near = await pith(...compressWords, "-o", at("t5-near"));
    expect(near.code, near.err).toBe(0);
    const models = (name: string) =>
      readdirSync(join(at(name), "onnx")).map((file) => [file, readFileSync(join(at(name), "onnx", file))]);
    expect(models("t5-far")).toEqual(models("t5-near"));
    for (const { child } of workers) child.kill("SIGINT");
    await Promise.all(workers.map(({ child }) => ended(child)));
    const logs = workers.map((one) => one.said()).join("\n");
    for (const base of ["encoder_model", "decoder_model_merged"]) expect(logs).toContain(` of ${base}.onnx: `);
    expect(logs).not.toContain("failed");
  }, 400_000);

  test("a worker rejects forged jobs with a reason, runs no stored code, and continues", async () => {
    stopServer = await startRedis(folder, port);
    const workerStore = join(folder, "forged");
    const { child, said } = worker(workerStore);
    await until(() => said().includes("takes work from"));
    const queue = new Queue("pith", { connection: { port } });
    const files = `inputs/${"0".repeat(64)}`;
    mkdirSync(join(workerStore, files), { recursive: true });
    await save(parseModel(outliers), join(workerStore, files, "net.onnx"));
    writeFileSync(join(workerStore, files, "points.csv"), "x,y,label\n1,0,0\n0,1,1\n");
    const ran = join(folder, "ran");
    const code = `import { writeFileSync } from "node:fs";\nwriteFileSync(${JSON.stringify(ran)}, "");\n`;
    writeFileSync(join(workerStore, files, "x.mjs"), code);
    symlinkSync(join(workerStore, files, "x.mjs"), join(folder, "link.csv"));
    const input = {
      ...{ model: `${files}/net.onnx`, resumeFolder: `runs/${"0".repeat(64)}`, seed: 0, metric: "accuracy" },
      ...{ data: dataAt(`${files}/points.csv`), targets: [], goal: { strict: false }, force: false, search: {} },
      combination: "int8",
    };
    const add = (data: unknown) => queue.add("job", data);
    let count = 0;
    const forge = async (sentence: string, change: object, kind = "combination") => {
      const name = `job ${++count}`;
      await add({ version, kind, name, input: { ...input, ...change } });
      await until(() => said().includes(`failed: ${name} of `) || said().includes(sentence));
      expect(said()).toContain(sentence);
    };
    await add("text");
    await add({ version });
    await add({ version, kind: "combination", name: "x", input: { model: 3 } });
    for (const kind of ["pass", "../../evil"])
      await forge(`failed: a job: The queue asks for "${kind}", which is not a supported job.`, {}, kind);
    await forge('The queue names "../../etc/passwd", which is not in the store.', { model: "../../etc/passwd" });
    for (const name of ["x.mjs", "x.mjs/", "x.mjs/."])
      await forge(`"${files}/${name}" is code that this worker was not started with`, {
        data: dataAt(`${files}/${name}`),
      });
    for (const sentence of [
      'failed: a job: The queue has a job that Pith did not put there: job: expected an object, got "text".',
      'failed: a job: The queue has a job that Pith did not put there: job: "kind" is missing.',
      "failed: a job: The queue has a job that Pith did not put there: input",
    ])
      await until(() => said().includes(sentence));
    symlinkSync(join(folder, "link.csv"), join(workerStore, files, "test.csv"));
    await forge(`The store has a link: expected a file or a folder, got "${files}/test.csv".`, {});
    rmSync(join(workerStore, files, "test.csv"));
    mkdirSync(join(workerStore, "runs"), { recursive: true });
    symlinkSync(folder, join(workerStore, input.resumeFolder));
    await forge(`The store has a link: expected a file or a folder, got "${input.resumeFolder}".`, {});
    expect(await queue.getFailedCount()).toBe(count + 3);
    expect(existsSync(ran)).toBe(false);
    expect(said()).not.toMatch(/TypeError|is not a function|Cannot read properties|internal/);
    await queue.close();
    child.kill("SIGINT");
    await ended(child);
  }, 120_000);

  test("a worker runs jobs with modules only if it was started with them", async () => {
    stopServer = await startRedis(folder, port);
    const rows = JSON.stringify(Array.from({ length: 300 }, (_, at) => [Math.sin(at), Math.cos(at)]));
    const sources = {
      "rows.mjs": `const rows = ${rows};
export function* batches({ size }) {
  for (let at = 0; at < rows.length; at += size) {
    const features = rows.slice(at, at + size);
    yield { features, label: features.map(([a, b]) => (a > b ? 0 : 1)) };
  }
}`,
      "mine.mjs": 'export default { id: "mine", scores: ({ matrices }) => matrices() };',
    };
    const [[data = "", mine = ""] = [], theirs = []] = ["ours", "theirs"].map((name) => {
      mkdirSync(at(name));
      return Object.entries(sources).map(([file, text]) => {
        writeFileSync(join(at(name), file), text);
        return join(at(name), file);
      });
    });
    writeFileSync(at("mine.yaml"), `steps:\n  - prune: { amount: 90%, importance: ${mine} }\n`);
    const model = [at("outliers.onnx"), "--data", data];
    const commands = [["compress", ...model, "-r", at("mine.yaml"), "--modules", mine, "--force"]];
    const results = (name: string, steps: string) => {
      const run = JSON.parse(readFileSync(join(at(name), "compress", "run.json"), "utf8"));
      const kept = readdirSync(steps, { recursive: true }).map((path) => basename(String(path)));
      return {
        model: readFileSync(join(at(name), "compress", "model.onnx"), "base64"),
        importance: run.variants[0].steps[0].options.importance,
        kept: new Set(kept.filter((path) => /^[0-9a-f]{64}\.(json|onnx)$/.test(path))),
      };
    };
    for (const words of commands) {
      const { code, err } = await pith(...words, "-o", join(at("without"), words[0] ?? ""));
      expect(code, err).toBe(0);
    }
    const alone = results("without", at("without"));
    for (const modules of [[], ["--modules", theirs.join()]]) {
      const name = `store${modules.length}`;
      const { child, said } = worker(at(name), ...modules);
      await until(() => said().includes("takes work from"));
      for (const words of commands) {
        const queue = ["--queue", `redis://localhost:${port}`, "--store", at(name)];
        const out = join(at(`with-${name}`), words[0] ?? "");
        const far = start(process.execPath, [program, ...words, ...queue, "-o", out]);
        await ended(far.child);
        expect(far.child.exitCode, far.said()).toBe(0);
        expect(far.said()).toMatch(/only workers started with --modules rows\.mjs(,mine\.mjs)? run these jobs/);
      }
      expect(results(`with-${name}`, join(at(name), "runs"))).toEqual(alone);
      child.kill("SIGINT");
      await ended(child);
      const rejected =
        /"modules\/[0-9a-f]{64}\/rows\.mjs" is code that this worker was not started with: --modules rows\.mjs/;
      if (modules.length === 0) expect(said()).toMatch(rejected);
      else expect(said()).not.toContain("failed");
      expect(said().match(/of outliers\.onnx: [0-9.]+ m?s/g) ?? []).toHaveLength(modules.length === 0 ? 0 : 4);
    }
  }, 240_000);

  test("the password of a server is neither written to files nor printed", async () => {
    const password = "a@b/c:d#e?f%g";
    stopServer = await startRedis(folder, port, "--requirepass", password);
    const address = `redis://:${encodeURIComponent(password)}@localhost:${port}`;
    const { child, said } = start(
      process.execPath,
      [program, "worker", "--store", store, `redis://localhost:${port}`],
      { REDISCLI_AUTH: password },
    );
    await until(() => said().includes("takes work from"));
    writeFileSync(at("masked.yaml"), "steps:\n  - prune: { amount: 10% }\n");
    const sharedWords = [at("outliers.onnx"), "--data", at("points.csv"), "--queue", address, "--store", store];
    for (const words of [["compress", ...sharedWords, "-r", at("masked.yaml"), "--force", "-o", at("secret-run")]]) {
      const { code, out, err } = await pith(...words);
      expect(code, err).toBe(0);
      const results = words.at(-1) ?? "";
      const files = readdirSync(results).filter((name) => /\.(html|md|json|yaml)$/.test(name));
      expect(files.length).toBeGreaterThan(1);
      for (const text of [out, err, said(), ...files.map((name) => readFileSync(join(results, name), "utf8"))])
        for (const secret of [password, encodeURIComponent(password)]) expect(text).not.toContain(secret);
    }
    const { command } = JSON.parse(readFileSync(join(at("secret-run"), "run.json"), "utf8"));
    expect(command).toContain(`redis://localhost:${port}`);
    child.kill("SIGINT");
    await ended(child);
  }, 240_000);

  test.each([
    [["--queue", "redis://localhost:1"], "--queue needs --store"],
    [["--store", "somewhere"], "--store is for --queue"],
    [["--queue", "localhost", "--store", "somewhere"], "The address of the queue is not valid"],
    [["--queue", "redis://localhost:1", "--store", "gs://models"], "is not the address of a store"],
  ])("rejects %j", async (more, message) => {
    expect(await pith(...searching(at("none"), ...more))).toMatchObject({
      code: 2,
      err: expect.stringContaining(message),
    });
  });
});
