/** Compares the files of a speech model's folder by their transcripts. */
import { basename, join } from "node:path";
import { counted, Miss, open, unsupportedError } from "#ir";
import type { EndToEnd, ModulePaths } from "../../../folder/end-to-end.ts";
import type { FolderVariant } from "../../../folder/folder-run.ts";
import type { JointCheck } from "../../../folder/joint-judge.ts";
import { openSpeech, type SpeechModel, type SpeechOptions } from "../../../folder/speech.ts";
import type { Session } from "../../command.ts";
import type { DataRequest } from "../../flags/data.ts";

/** Returns a folder's speech model. If it cannot transcribe, warns, or with `hasData` throws PithError E_UNSUPPORTED. */
export async function openFolderSpeech(
  folder: string,
  bases: readonly string[],
  hasData: boolean,
  { terminal }: Session,
): Promise<SpeechModel | undefined> {
  if (!bases.includes("encoder_model")) return undefined;
  const speech = await openSpeech(folder, await open(join(folder, "onnx", "encoder_model.onnx")));
  if (!(speech instanceof Miss)) return speech;
  const text = `"${folder}" cannot transcribe: ${speech.reason}`;
  if (hasData) throw unsupportedError(`${text}.`, { hint: "Without --data, Pith compares on random inputs." });
  terminal.note("speech", text, "warning");
  return undefined;
}

export type SpeechJudge = ReturnType<typeof createSpeechJudge>;

export const createSpeechJudge = (
  folder: string,
  bases: readonly string[],
  speech: { readonly data: DataRequest | undefined; readonly goal: SpeechOptions["goal"]; readonly seed: number },
  compare: (modules: readonly ModulePaths[]) => Promise<EndToEnd>,
) => ({
  compare,
  describeSamples: ({ answers, undecided }: EndToEnd): string[] => [
    speech.data === undefined
      ? "Compared on noise with the spectrum of speech, which is weak evidence: WAV files of speech (--data) show what is lost."
      : `Compared on ${counted(answers?.samples ?? 0, "word")} of ${speech.data.path}, with the originals of the other models.`,
    ...(undecided === undefined ? [] : [undecided]),
  ],
  /** Returns the models with which a file runs. */
  jointCheck({ source, out: result }: Pick<FolderVariant, "source" | "out">): JointCheck {
    const changedBase = basename(source, ".onnx");
    const modules = bases.map((base) => {
      const original = join(folder, "onnx", `${base}.onnx`);
      return { base, original, result: base === changedBase ? result : original };
    });
    return { folder, base: changedBase, modules, texts: [], speech };
  },
});
