/** Writes one variant of a folder's model, as `pith quantize` would. */
import { bytes, capitalize, PithError, unsupportedError } from "#ir";
import { formatPreciseLayer } from "../../../judge/fallback/precise-layers.ts";
import { optionsOfDtype } from "../../../techniques/quantize/options.ts";
import { endToEndLoss, type Similarity, similarityFrom, tokenSimilarity } from "../../folder/end-to-end.ts";
import type { FolderVariant } from "../../folder/folder-run.ts";
import { similarityText } from "../../folder/folder-table.ts";
import type { FileFigures } from "../../folder/records.ts";
import { similarityWithoutData } from "../../folder/variant-maker.ts";
import type { Session } from "../command.ts";
import type { PassInput, WrittenOutput } from "../job-parts/pass-job.ts";
import type passJob from "../jobs/pass.ts";
import { dataLines } from "../print/samples.ts";
import { targetsField } from "./folder-search.ts";
import type { SpeechJudge } from "./folder-speech.ts";

interface VariantOptions {
  /** Flags of the pass, without the dtype. */
  readonly passOptions: Readonly<Record<string, unknown>>;
  /** Dtypes to which the rounding for small downloads (`rdoq`) does not apply. */
  readonly otherDtypes: readonly string[];
  readonly fallback: boolean | undefined;
  readonly settings: Pick<
    PassInput,
    "data" | "metric" | "output" | "maxDrop" | "strict" | "force" | "dryRun" | "targetDownload" | "forDownload"
  >;
  /** Returns the samples of a model that does not run alone. */
  samplesOf(source: string): Promise<Pick<PassInput, "data"> | undefined>;
  readonly speech: SpeechJudge | undefined;
  /** Returns the file that keeps text of a model for all its variants. */
  textFileOf(source: string): string;
}

/** Returns a function that writes a variant, or throws a PithError if it is rejected. */
export function createVariantWriter(
  { passOptions, otherDtypes, fallback: commandFallback, settings, samplesOf, speech, textFileOf }: VariantOptions,
  session: Session,
): (variant: FolderVariant) => Promise<FileFigures> {
  const writeVariant = async (variant: FolderVariant): Promise<FileFigures> => {
    const { source, out, dtype, fileBytes, jointCheck, fallback = commandFallback } = variant;
    const { originalBrotli: brotli, originalSampled: sampled = false } = variant;
    const input: PassInput = {
      ...{ fallback: fallback !== false, jointCheck, judgedTogether: speech !== undefined && !settings.force },
      ...{ command: "quantize", model: source, out, skipsSidecars: true },
      sizeBefore: brotli === undefined ? {} : { brotli, sampled },
      ...{ textFile: textFileOf(source), fileBytes, seed: session.seed, ...settings },
      options: { ...optionsOfDtype(dtype, passOptions), dtype },
      ...(otherDtypes.includes(dtype) ? { targetDownload: undefined } : await samplesOf(source)),
    };
    const work = session.runJob<typeof passJob>("pass", input, `quantize ${source} to ${dtype}`);
    const result = await work.catch((error: unknown) => {
      throw rewordForOneFile(error);
    });
    if (result.written === undefined) throw unsupportedError(`${capitalize(result.idle ?? "nothing changed")}.`);
    if (speech === undefined || settings.force) return figuresOf(result);
    const models = speech.jointCheck({ source, out });
    const endToEnd = await speech.compare(models.modules);
    const lostText = endToEndLoss(endToEnd);
    if (lostText !== undefined && fallback !== false && jointCheck === undefined)
      return writeVariant({ ...variant, fallback, jointCheck: models });
    if (lostText !== undefined) throw new PithError("E_ACCURACY_LOST", lostText);
    const nearness = endToEnd.answers ?? tokenSimilarity(endToEnd);
    return { ...figuresOf(result), ...measuredField(nearness), judgedOn: speech.describeSamples(endToEnd) };
  };
  return async (variant) => {
    try {
      const figures = await writeVariant(variant);
      session.terminal.noteFinished(`${bytes(figures.bytes)}, ${figures.measured}`);
      return figures;
    } catch (error) {
      if (error instanceof PithError && error.code !== "E_STOPPED") session.terminal.noteFinished("rejected");
      throw error;
    }
  };
}

function figuresOf(result: WrittenOutput): FileFigures {
  const { before, after, samples, preprocessing, fallback, invariance } = result;
  const preciseField = fallback === undefined ? {} : { preciseLayers: fallback.preciseLayers.map(formatPreciseLayer) };
  const judgedOn = samples && dataLines(samples, preprocessing);
  const { bytes, gzip, brotli, sampled } = after;
  const sizes = { bytes, gzip, brotli, sampled, originalBrotli: before.brotli, originalSampled: before.sampled };
  const together = invariance && {
    ...{ batch: invariance.worst, batchApart: invariance.apart, batchSamples: invariance.samples },
  };
  return {
    ...{ ...sizes, ...preciseField, ...similarityOf(result) },
    ...(judgedOn === undefined ? {} : { judgedOn }),
    ...(together && { together }),
  };
}

function similarityOf(result: WrittenOutput): Pick<FileFigures, "measured" | "nearness" | "judgedOn" | "rightOn"> {
  const { comparison, likeness, targets } = result;
  const nearness = comparison && similarityFrom(comparison);
  const measured =
    nearness !== undefined
      ? measuredField(nearness)
      : typeof likeness === "object"
        ? similarityWithoutData(likeness)
        : { measured: `not compared: ${likeness ?? "it was forced"}` };
  return { ...measured, ...targetsField(targets) };
}

const measuredField = (nearness: Similarity | undefined): Pick<FileFigures, "measured" | "nearness"> =>
  nearness === undefined
    ? { measured: "no words were transcribed" }
    : { nearness, measured: `${nearness.metric} ${similarityText(nearness)}` };

function rewordForOneFile(error: unknown): unknown {
  if (!(error instanceof PithError)) return error;
  const { code, message, hint } = error;
  return new PithError(code, message.replace("Nothing was written.", "This file was not written."), {
    hint,
    cause: error,
  });
}
