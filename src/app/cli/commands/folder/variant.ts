/** Writes one variant of a folder's model, as `pith quantize` would. */
import { bytes, capitalize, PithError, unsupportedError } from "#ir";
import { optionsOfDtype } from "../../../../techniques/quantize/options.ts";
import { endToEndLoss, tokenSimilarity } from "../../../folder/end-to-end.ts";
import { figuresFrom, similarityFigures } from "../../../folder/figures.ts";
import type { FolderVariant } from "../../../folder/folder-run.ts";
import type { FileFigures } from "../../../folder/records.ts";
import type { Session } from "../../command.ts";
import { withFlagNames } from "../../flags/flag-names.ts";
import type passJob from "../../jobs/pass.ts";
import type { PassInput } from "../../jobs/pass.ts";
import type { SpeechJudge } from "./speech.ts";

interface VariantOptions {
  /** Settings of each step. Its options get the dtype of the variant. */
  readonly settings: Omit<PassInput, "command" | "model" | "out" | "skipsSidecars" | "seed">;
  /** Dtypes to which the rounding for small downloads (`rdoq`) does not apply. */
  readonly otherDtypes: readonly string[];
  /** Returns the samples of a model that does not run alone. */
  samplesOf(source: string): Promise<Pick<PassInput, "data"> | undefined>;
  readonly speech: SpeechJudge | undefined;
  /** Returns the file that keeps text of a model for all its variants. */
  textFileOf(source: string): string;
}

/** Returns a function that writes a variant, or throws a PithError if it is rejected. */
export function createVariantWriter(
  { otherDtypes, settings, samplesOf, speech, textFileOf }: VariantOptions,
  session: Session,
): (variant: FolderVariant) => Promise<FileFigures> {
  const writeVariant = async (variant: FolderVariant): Promise<FileFigures> => {
    const { source, out, dtype, fileBytes, jointCheck, fallback = settings.fallback } = variant;
    const { originalBrotli: brotli, originalSampled: sampled = false } = variant;
    const input: PassInput = {
      ...settings,
      fallback,
      jointCheck,
      judgedTogether: speech !== undefined && !settings.force,
      command: "quantize",
      model: source,
      out,
      skipsSidecars: true,
      sizeBefore: brotli === undefined ? {} : { brotli, sampled },
      textFile: textFileOf(source),
      fileBytes,
      seed: session.seed,
      options: { ...optionsOfDtype(dtype, settings.options), dtype },
      ...(otherDtypes.includes(dtype) ? { targetDownload: undefined } : await samplesOf(source)),
    };
    const output = await session.runJob<typeof passJob>("pass", input, `quantize ${source} to ${dtype}`);
    const result = withFlagNames(output, session.flags);
    if (result.written === undefined) throw unsupportedError(`${capitalize(result.idle ?? "nothing changed")}.`);
    if (speech === undefined || settings.force) return figuresFrom(result);
    const models = speech.jointCheck({ source, out });
    const endToEnd = await speech.compare(models.modules);
    const lostText = endToEndLoss(endToEnd);
    if (lostText !== undefined && fallback && jointCheck === undefined)
      return writeVariant({ ...variant, fallback, jointCheck: models });
    if (lostText !== undefined) throw new PithError("E_ACCURACY_LOST", lostText);
    const nearness = endToEnd.answers ?? tokenSimilarity(endToEnd);
    const similarity = similarityFigures(nearness, "no words were transcribed");
    return { ...figuresFrom(result), ...similarity, judgedOn: speech.describeSamples(endToEnd) };
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
