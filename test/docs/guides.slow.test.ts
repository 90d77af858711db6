/** Runs every command and every program of the guides to compression, pruning, quantization, distillation, low rank, sensitivity and scaling on real networks and few samples. */
import { execFile } from "node:child_process";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import { program } from "../app/cli/run.ts";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";
import { codeBlocks, commandLines } from "./markdown.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const tsx = createRequire(import.meta.url).resolve("tsx/cli");
const pages = await Promise.all(
  [
    "compress.md",
    "pruning.md",
    "quantization.md",
    "distillation.md",
    "low-rank.md",
    "sensitivity.md",
    "scaling.md",
  ].map(async (name) => [name, await readFile(join(root, "docs", name), "utf8")] as const),
);
const data = shared("data") ?? "";
const counts = { train: 128, test: 64 };

/** Runs Node in a folder, and returns its exit code and its error output as a reader would see it. */
async function node(
  words: readonly string[],
  folder: string,
): Promise<{ readonly code: number; readonly said: string }> {
  return promisify(execFile)(process.execPath, [...words], { cwd: folder }).then(
    ({ stdout, stderr }) => ({ code: 0, said: stdout + stderr }),
    ({ code, stdout, stderr }) => ({ code, said: stdout + stderr }),
  );
}

async function unpacked(file: string): Promise<Buffer> {
  return gunzipSync(await readFile(join(data, file)));
}

/** Creates a folder with networks and data under the names that the guides use. */
async function filled(): Promise<string> {
  const folder = temporaryFolder();
  for (const name of ["llama", "bert_sst2/onnx", "minilm/onnx", "cifar10", "mnist", "photos", "texts"])
    await mkdir(join(folder, name), { recursive: true });
  // Writes the content, because a file copy would inherit the mode of a read-only shared folder.
  for (const [from, to] of [
    ["resnet20.onnx", "resnet20.onnx"],
    ["resnet20.onnx", "model.onnx"],
    ["resnet56.onnx", "resnet56.onnx"],
    ["vnncomp_mnist-net_256x4.onnx", "teacher.onnx"],
    ["vnncomp_mnist-net_256x2.onnx", "student.onnx"],
    ["llama_shakespeare/onnx/decoder_model.onnx", "llama/decoder_model.onnx"],
    ["llama_shakespeare/tokenizer.json", "llama/tokenizer.json"],
    ["llama_shakespeare/onnx/decoder_model.onnx", "decoder.onnx"],
    ["llama_shakespeare/tokenizer.json", "tokenizer.json"],
    ...["onnx/model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json"].flatMap((name) =>
      ["bert_sst2", "minilm"].map((to) => [`bert_sst2/${name}`, `${to}/${name}`] as const),
    ),
  ] as const)
    await writeFile(join(folder, to), await readFile(join(data, "models", from)));
  const photos = (await readdir(join(data, "images/imagenet"))).filter((name) => name.endsWith(".jpg"));
  for (const name of photos.slice(0, 20))
    await copyFile(join(data, "images/imagenet", name), join(folder, "photos", name));
  for (const [part, count] of Object.entries({ train: counts.train, dev: counts.test })) {
    const lines = (await readFile(join(data, `text/sst2_${part}.tsv`), "utf8")).split("\n");
    await writeFile(join(folder, `sst2_${part}.tsv`), `${lines.slice(0, count + 1).join("\n")}\n`);
  }
  // The folder of transformers.js is evaluated with eight files, each on half of these rows.
  const reviews = (await readFile(join(folder, "sst2_train.tsv"), "utf8")).split("\n").slice(0, 49);
  await writeFile(join(folder, "reviews.tsv"), `${reviews.join("\n")}\n`);
  await writeFile(join(folder, "mine.mjs"), 'export default { id: "mine", scores: ({ values }) => values };\n');
  const play = await readFile(join(data, "text/tinyshakespeare.txt"), "utf8");
  for (const name of ["texts.txt", "texts/train.txt"]) await writeFile(join(folder, name), play.slice(0, 6000));
  await writeFile(join(folder, "texts/test.txt"), play.slice(-4000));
  for (const [name, from, count] of [
    ["data_batch_1", "data_batch_1", counts.train],
    ["test_batch", "test_batch_first1000", counts.test],
  ] as const) {
    const images = await unpacked(`cifar10/${from}.bin.gz`);
    await writeFile(join(folder, "cifar10", `${name}.bin`), images.subarray(0, count * 3073));
  }
  for (const [part, count] of [
    ["train", counts.train],
    ["t10k", counts.test],
  ] as const)
    for (const [kind, header, size] of [
      ["images-idx3", 16, 784],
      ["labels-idx1", 8, 1],
    ] as const) {
      const file = (await unpacked(`mnist/${part}-${kind}-ubyte.gz`)).subarray(0, header + count * size);
      file.writeUInt32BE(count, 4);
      await writeFile(join(folder, "mnist", `${part}-${kind}-ubyte`), file);
    }
  return folder;
}

/** Shortens a recipe or a program: fewer epochs and rounds, and no training of blocks, which takes minutes with any number of samples. */
const shortened = (text: string): string =>
  text
    .replaceAll(/\bepochs: \d+/g, "epochs: 1")
    .replaceAll(/\brepeat: \d+/g, "repeat: 2")
    .replaceAll("until: blocks", "until: least-squares");

/** Shortens a command: fewer epochs, minutes, layers and samples than in the guide. */
function small(words: readonly string[]): readonly string[] {
  const trained = ["distill", "train"].includes(words[0] ?? "") && !words.includes("--help");
  const drawn = words.includes("random");
  const swept = words[0] === "sensitivity" && !words.includes("--layers");
  const searched = words[0] === "compress" && !words.some((word) => ["-r", "--steps", "--queue"].includes(word));
  return [
    ...words.map((word, at) => (words[at - 1] === "--minutes" ? "0.1" : word)),
    ...(searched && !words.includes("--minutes") ? ["--minutes", "0.1"] : []),
    // With few samples, one wrong prediction exceeds the allowed drop, so `compress` needs --force, which it does not accept for folders.
    ...(words[0] === "compress" && !words.includes("--force") && !words[1]?.endsWith("/") ? ["--force"] : []),
    ...(swept ? ["--layers", "layer3.2*,linear"] : []),
    ...(trained ? ["--epochs", "1"] : []),
    ...(drawn ? ["--samples", "48"] : []),
  ];
}

describe.skipIf(data === "").each(pages)("docs/%s", (_, text) => {
  const programs = codeBlocks(text).filter(({ language }) => language === "ts");
  let folder = "";
  let home = "";

  beforeAll(async () => {
    folder = await filled();
    for (const { language, text: recipe } of codeBlocks(text))
      if (language === "yaml")
        await writeFile(join(folder, /^# (\S+\.yaml)$/m.exec(recipe)?.[1] ?? "recipe.yaml"), shortened(recipe));
    // The programs import "pith", which resolves only below the root of the repository.
    await mkdir(join(root, "out"), { recursive: true });
    home = temporaryFolder(join(root, "out"));
  });

  // The commands run in the order of the page, because later ones read files of earlier ones.
  // Queues have separate tests (test/app/cli/queue.slow.test.ts).
  const commands = commandLines(text).filter(({ words }) => !words.some((word) => word.startsWith("redis")));
  test.each(commands.map(({ words }) => [words.join(" "), words] as const))("npx pith %s", async (_, words) => {
    const { code, said } = await node([program, ...small(words)], folder);
    expect(code, said).toBe(0);
    for (const [at, flag] of words.entries())
      if (flag === "-o") expect(said, "what it says of the file it wrote").toContain(words[at + 1]);
  });

  test.each(programs.map(({ text: code }) => [code]))("%s", async (code) => {
    await writeFile(join(home, "program.mts"), shortened(code));
    const ran = await node([tsx, "--conditions=pith-source", join(home, "program.mts")], folder);
    expect(ran.code, ran.said).toBe(0);
    const [, written = ""] = /save\(net, "([^"]+)"\)/.exec(code) ?? [];
    expect(await readdir(folder)).toContain(written);
  });
});
