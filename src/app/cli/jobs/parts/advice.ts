/** Formats advice for results that are worse than the original. */
import { capitalize, type Model, PithError } from "#ir";
import type { AnyPass, OptionValues } from "#pass";
import type { Rejection } from "../../../../judge/run/rejection.ts";
import { isTraining } from "../../../../judge/steps/step-options.ts";
import { blameText, isSpread } from "../../../../runtime/noise/layer-errors.ts";
import { nextFiles, passCommands } from "../../pass-commands.ts";

/** Ends an error. A folder has other files (`sizeBefore`), which can be written. */
export const unwrittenText = ({ sizeBefore }: { readonly sizeBefore?: object | undefined }): string =>
  sizeBefore === undefined ? "Nothing was written." : "This file was not written.";

interface AdviceInput {
  readonly model: string;
  readonly out: string;
  readonly options: OptionValues;
  readonly sizeBefore?: object | undefined;
  readonly data: { readonly path: string } | undefined;
}

/** @param assumesScores whether classes were compared without evidence that the output has class scores. */
export function rejectionError(
  pass: AnyPass,
  input: AdviceInput,
  rejection: Rejection,
  assumesScores: boolean | undefined,
): PithError {
  const { text, blamed, fallbackText } = rejection;
  const sentences = [
    text,
    ...(blamed === undefined ? [] : [blameText(blamed)]),
    ...(fallbackText === undefined ? [] : [fallbackText]),
  ];
  const message = `${sentences.map(capitalize).join(". ")}. ${unwrittenText(input)}`;
  return new PithError("E_ACCURACY_LOST", message, { hint: lostAdvice(pass, input, rejection, assumesScores) });
}

function lostAdvice(
  pass: AnyPass,
  { model, out, options, data }: AdviceInput,
  { isStrictMiss, blamed, changes, because, isLostByEarlierSteps: isLostBefore, isTrainable }: Rejection,
  assumesScores = false,
): string {
  const { checkpoint } = options;
  const checkpointText = typeof checkpoint === "string" ? `The trained weights are kept in ${checkpoint}. ` : "";
  const gentlerAdvice = isStrictMiss
    ? "Evaluate it on more samples, or without --strict"
    : pass.gentler?.(options, isLostBefore);
  const isSpreadError = blamed !== undefined && isSpread(blamed);
  const blamedLayer = isSpreadError ? undefined : changes.find(({ at }) => at === blamed?.layers[0])?.at;
  const exceptAdvice =
    blamedLayer === undefined ? undefined : `skip that layer (--except ${exceptText(options, blamedLayer)})`;
  const state = { isTrainable, isGoalMet: false, isLost: false };
  const nextCommand = isSpreadError
    ? passCommands[pass.id]?.nextCommand?.(options, nextFiles({ model, out }, data, state))
    : undefined;
  const suggestions = [
    ...(gentlerAdvice === undefined || (exceptAdvice !== undefined && gentlerAdvice.includes("`except`"))
      ? []
      : [gentlerAdvice]),
    ...(isLostBefore ? [`start from a model that lost less than ${model}`] : []),
    ...(exceptAdvice === undefined ? [] : [exceptAdvice]),
    ...(because === "target" ? ["try another version of ONNX Runtime"] : []),
    ...(data === undefined
      ? ["measure it on your own samples (--data)"]
      : because === "goal"
        ? [
            ...(assumesScores ? ["use --metric r-squared if the outputs are not class scores"] : []),
            "allow more (--max-drop)",
          ]
        : []),
  ];
  const timeText =
    isTraining(pass) || nextCommand !== undefined || because === "target" ? "" : ", for instance before fine-tuning";
  const debugAdvice = blamed === undefined ? "." : ". Then pith debug shows every layer.";
  const ending = nextCommand === undefined ? debugAdvice : `, then pith ${nextCommand.replace(/ +#.*$/, "")}`;
  const advice = suggestions.length === 0 ? "" : `${capitalize(suggestions.join(", or "))}. `;
  return `${checkpointText}${advice}--force writes it anyway${timeText}${ending}`;
}

function exceptText({ except }: OptionValues, layer: string): string {
  const text = [...(Array.isArray(except) ? except : except === undefined ? [] : [except]), layer].join(",");
  return /^[\w./:,-]+$/.test(text) ? text : `'${text}'`;
}

export async function fasterAdvice({ faster }: AnyPass, options: OptionValues, original: Model): Promise<string> {
  const advice = await faster?.(options, original);
  return advice === undefined ? "" : `. ${advice}.`;
}
