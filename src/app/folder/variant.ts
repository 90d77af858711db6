/** Makes one variant of one model without a command. */
import { fileNameOf, folderOf, joinPath, listFolder } from "#platform";
import { capitalize, Miss, PithError } from "../../core/errors.ts";
import { counted } from "../../core/numbers.ts";
import { open, save } from "../../core/onnx/index.ts";
import type { AnyPass, Context, OptionValues } from "../../core/pass/pass.ts";
import type { Likeness } from "../../judge/compare/compare-function.ts";
import { apartText } from "../../judge/record/verdict.ts";
import { noSmallerThan } from "../../judge/run/improvement.ts";
import { keptAndLoads } from "../../judge/run/kept-function.ts";
import { type StepOutput, spare, sparedLine } from "../../judge/run/sparing.ts";
import { randomSearch } from "../../judge/run/sparing-samples.ts";
import { looseModels } from "../../judge/steps/loose-models.ts";
import { Runner } from "../../judge/steps/runner.ts";
import { runStep } from "../../judge/steps/step.ts";
import { watchLoads } from "../../runtime/run/load-check.ts";
import { size } from "../../runtime/run/size.ts";
import { quantize } from "../../techniques/quantize/index.ts";
import { optionsOfDtype } from "../../techniques/quantize/options.ts";
import { dataFilesOf } from "./layout.ts";
import type { FileFigures } from "./records.ts";
import type { FolderOptions, Variant } from "./run.ts";
import { searchTogether } from "./text-search.ts";

/** Formats a comparison on random inputs. */
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
  { source, out, dtype, fileBytes, together }: Variant,
  options: FolderOptions["quantize"],
  context: Context,
): Promise<FileFigures> {
  const engine = watchLoads(context.engine);
  const original = await open(source);
  const store = looseModels(original, undefined);
  const inside = { ...context, engine };
  const runner = new Runner({ store, parts: {} }, inside);
  const asked = { ...optionsOfDtype(dtype, options ?? {}), dtype };
  const outcome = await runner.run({ pass: quantize, options: asked }, store.original);
  const plain = { ...outcome, model: await store.open(outcome.output) };
  const idle = await noSmallerThan(original, plain.model);
  if (idle !== undefined) throw new PithError("E_UNSUPPORTED", `${capitalize(idle)}.`);
  engine.forget();
  const judged = { test: undefined, answered: 0, trained: "none" as const, output: undefined, forced: false };
  const judge = ({ model }: StepOutput) => keptAndLoads(inside, original, model, judged);
  const refused = (lost: string): PithError => new PithError("E_ACCURACY_LOST", `${capitalize(lost)}.`);
  let [made, kept] = [plain as StepOutput, await judge(plain)];
  let spared: readonly string[] = [];
  if ((kept.lost !== undefined && kept.lost.because !== "overflow") || together !== undefined) {
    const quiet: Context = { ...inside, log: () => {}, progress: () => {} };
    const alone = randomSearch(original, undefined, quiet);
    const request = {
      pass: quantize,
      options: asked,
      original,
      plain,
      search: together === undefined ? alone : await searchTogether(together, alone, quiet),
      output: undefined,
      async run(changed: OptionValues, pass: AnyPass = quantize): Promise<StepOutput> {
        const model = original.clone();
        return { model, ...(await runStep(pass, model, changed, {}, quiet)) };
      },
    };
    const found = await spare(request, { ...inside, log: () => {} });
    if (found instanceof Miss) throw refused([kept.lost?.text ?? [], found.reason].flat().join("; "));
    made = found.made;
    kept = await judge(made);
    spared = found.sparing.spared.map(sparedLine);
  }
  const { model } = made;
  const { likeness, lost } = kept;
  if (lost !== undefined) throw refused(lost.text);
  await save(model, out, { fileBytes });
  const [folder, name] = [folderOf(out), fileNameOf(out)];
  const parts = [name, ...dataFilesOf(name, await listFolder(folder))].map((part) => joinPath(folder, part));
  const { bytes, gzip, brotli } = await size(...parts);
  const repaired = spared.length === 0 ? {} : { spared: [...spared] };
  return { bytes, gzip, brotli, ...repaired, ...randomNearness(likeness) };
}
