/** Job on a folder: compares variants of the models end to end, on the user's texts, sounds or samples. */
import { Miss, open, percent, unsupportedError } from "#ir";
import { completeContext } from "#pass";
import { createEngine } from "../../../core/engine/index.ts";
import { readTexts } from "../../../data/sources/texts.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { generatorOf } from "../../../runtime/run/generate.ts";
import { compareModules, type EndToEnd, type ModulePaths, openFolderModels } from "../../folder/end-to-end.ts";
import { compareSpeech, openSpeech, openUtterances, type SpeechOptions } from "../../folder/speech.ts";
import type { DataRequest } from "../flags/data.ts";
import { openData } from "./parts/open-data.ts";

export interface EndToEndInput {
  readonly folder: string;
  readonly modules: readonly ModulePaths[];
  /** Undefined for speech models that are compared on noise. */
  readonly data: DataRequest | undefined;
  /** Whether the data are texts. */
  readonly isText: boolean;
  /** Goal for transcripts, and the original's transcripts if they are known. */
  readonly speech: Pick<SpeechOptions, "goal" | "expected"> | undefined;
  readonly seed: number;
}

const maxSamples = 64;

/** @returns the comparison, and for speech the original's transcripts. */
export default async function endToEndJob(input: EndToEndInput, context: JobContext) {
  return input.speech === undefined
    ? { endToEnd: await compareOutputs(input, context), expected: undefined }
    : compareTranscripts(input, input.speech, context);
}

/** Word error rate of the original above which transcripts or language are probably wrong. */
const maxErrors = 0.5;

async function compareTranscripts(
  { folder, modules, data, seed }: EndToEndInput,
  options: NonNullable<EndToEndInput["speech"]>,
  { stage, signal, log }: JobContext,
) {
  stage("transcribe");
  const { originals, results } = await openFolderModels(folder, modules);
  const [original, result] = [generatorOf(originals), generatorOf(results)];
  const speech = await openSpeech(folder, original?.encoder);
  if (original === undefined || result === undefined || speech === undefined || speech instanceof Miss)
    throw unsupportedError(`"${folder}" does not transcribe${speech instanceof Miss ? `: ${speech.reason}` : ""}.`);
  const utterances = await openUtterances(speech, data, seed);
  const output = await compareSpeech(createEngine(), original, result, speech, { ...options, utterances, signal });
  const { value = 0, difference = 0 } = output.endToEnd.answers ?? {};
  if (options.expected === undefined && value - difference > maxErrors) {
    const text = `the original's word error rate is ${percent(value - difference)}: check the transcripts and the language`;
    log({ id: "speech", text, level: "warning" });
  }
  return output;
}

async function compareOutputs(input: EndToEndInput, context: JobContext): Promise<EndToEnd> {
  const { folder, modules, data, seed } = input;
  if (data === undefined) return {};
  const engine = createEngine();
  const [mainModule] = modules.length === 1 ? modules : modules.filter(({ base }) => base === "model");
  const original = mainModule === undefined ? undefined : await open(mainModule.original);
  const predictsDirectly = original !== undefined && generatorOf(new Map([["model", original]])) === undefined;
  const { texts } = predictsDirectly ? { texts: [] } : await readTexts(data.path);
  const { task } = predictsDirectly
    ? await openData(engine, original, { ...data, samples: maxSamples }, { seed }, context)
    : { task: undefined };
  context.stage("compare");
  const passContext = completeContext({ engine, seed, signal: context.signal });
  const metric = input.isText ? task?.metric : undefined;
  return compareModules(folder, modules, texts, passContext, { samples: task?.test, metric });
}
