/** Job that checks that models, samples and target runtimes of a folder are usable, so that errors appear early. */
import { allLayers, infer, isQuantized } from "#analysis";
import { dataError, Miss, type Model, open } from "#ir";
import { fileKind, joinPath } from "#platform";
import { createEngine } from "../../../core/engine/index.ts";
import { findRuntime } from "../../../core/engine/runtime.ts";
import { readChatTemplate } from "../../../data/text/chat-template.ts";
import { templateName } from "../../../data/text/sidecar-names.ts";
import { openTokenizer, readSettings } from "../../../data/text/tokenizer.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { readOneRun } from "../../../runtime/run/feeding.ts";
import { generatorOf } from "../../../runtime/run/generate.ts";
import type { TargetName } from "../../../runtime/run/run-target.ts";
import { mainOf } from "../../folder/file-names.ts";
import { openSpeech, openUtterances } from "../../folder/speech.ts";
import type { EndToEndInput } from "./end-to-end.ts";
import { openData } from "./parts/open-data.ts";
import { withTargets } from "./parts/target.ts";

interface FolderCheckInput extends Pick<EndToEndInput, "folder" | "data" | "isText" | "seed"> {
  readonly bases: readonly string[];
  readonly targets: readonly TargetName[];
}

export default async function folderCheckJob(input: FolderCheckInput, context: JobContext): Promise<void> {
  const { folder, bases, data, isText, targets, seed } = input;
  await findRuntime();
  const models = new Map<string, Model>();
  for (const base of bases) models.set(base, await open(joinPath(folder, "onnx", `${base}.onnx`)));
  const warn = (id: string, text: string): void => context.log({ id, text, level: "warning" });
  await readSettings(joinPath(folder, "config.json"));
  for (const [base, model] of models) {
    const layers = allLayers(model, infer(model));
    const quantizedLayers = layers.filter(isQuantized);
    if (quantizedLayers.length > 0 && 2 * quantizedLayers.length >= layers.length)
      warn("quantized", `the weights of ${base}.onnx are quantized already: begin with the float32 export`);
  }
  const template = await readChatTemplate(folder);
  const hasProcessor = (await fileKind(joinPath(folder, "processor_config.json"))) === "file";
  if (template?.file === templateName && !hasProcessor)
    warn(
      "template",
      `transformers.js does not read ${templateName}. Copy its text to the key "chat_template" of tokenizer_config.json`,
    );
  if (data !== undefined) {
    const { base, isAlone } = mainOf(bases);
    const main = models.get(base);
    const speech = await openSpeech(folder, models.get("encoder_model"));
    if (speech !== undefined && !(speech instanceof Miss)) await openUtterances(speech, data, seed);
    else if (main !== undefined && isAlone && !(isText && generatorOf(models) !== undefined))
      await readOneRun(main, (await openData(createEngine(), main, data, { seed }, context)).task.test);
    else if ((await openTokenizer(folder)) === undefined)
      throw dataError(`"${folder}" has no tokenizer.json, which makes tokens of texts.`);
  }
  await withTargets(targets, context, () => Promise.resolve());
}
