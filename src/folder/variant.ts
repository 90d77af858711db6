/** One variant of one model, where no command makes it. */
import { fileNameOf, folderOf, joinPath, listFolder } from "#platform";
import { capitalized, PithError } from "../errors.ts";
import type { Likeness } from "../evaluate/index.ts";
import { watchLoads } from "../evaluate/load-check.ts";
import { counted } from "../evaluate/numbers.ts";
import { size } from "../evaluate/size.ts";
import { open, save } from "../onnx/index.ts";
import type { Context } from "../passes/pass.ts";
import { quantize } from "../quantize/index.ts";
import { noSmallerThan } from "../recipe/improvement.ts";
import { keptAndLoads } from "../recipe/kept-function.ts";
import { apartText } from "../report/verdict.ts";
import { looseModels } from "../run/loose-models.ts";
import { Runner } from "../run/runner.ts";
import { dataFilesOf } from "./layout.ts";
import { weightFilesOf } from "./model-files.ts";
import type { FileFigures } from "./records.ts";
import type { FolderOptions, Variant } from "./run.ts";

/** What random inputs say. */
export function randomNearness(
  likeness: Likeness | string | undefined,
): Pick<FileFigures, "measured" | "nearness" | "judgedOn"> {
  if (typeof likeness !== "object") return { measured: likeness ?? "" };
  const { same, unmoved, signalToNoise, samples } = likeness;
  const isTold = same === undefined && unmoved === undefined && Number.isFinite(signalToNoise);
  const nearness = { metric: "signal to noise", unit: "dB", value: signalToNoise } as const;
  const judgedOn = [`Compared on ${counted(samples, "random input")}.`];
  return { measured: apartText(likeness), judgedOn, ...(isTold ? { nearness } : {}) };
}

export async function makeVariant(
  { source, out, dtype, fileBytes }: Variant,
  options: FolderOptions["quantize"],
  context: Context,
): Promise<FileFigures> {
  const engine = watchLoads(context.engine);
  const original = await open(source);
  const store = looseModels(original, undefined);
  const runner = new Runner({ store, parts: {} }, { ...context, engine });
  const { output } = await runner.run({ pass: quantize, options: { ...options, dtype } }, store.original);
  const model = await store.open(output);
  const idle = await noSmallerThan(original, model);
  if (idle !== undefined) throw new PithError("E_UNSUPPORTED", `${capitalized(idle)}.`);
  engine.forget();
  const judged = { test: undefined, answered: 0, trained: false, output: undefined, forced: false };
  const { likeness, lost } = await keptAndLoads({ ...context, engine }, original, model, judged);
  if (lost !== undefined) throw new PithError("E_ACCURACY_LOST", `${capitalized(lost)}.`);
  await save(model, out, { fileBytes });
  const [folder, name] = [folderOf(out), fileNameOf(out)];
  const parts = [name, ...dataFilesOf(name, await listFolder(folder))].map((part) => joinPath(folder, part));
  const { bytes, brotli } = await size(...parts);
  const besideIt = [...weightFilesOf(original)].map((file) => joinPath(folderOf(source), file));
  const { brotli: originalBrotli } = await size(source, ...besideIt);
  return { bytes, brotli, originalBrotli, ...randomNearness(likeness) };
}
