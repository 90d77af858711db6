/** Tests transcription with the models of a folder, and the comparison of transcripts. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { endToEndLoss } from "../../../src/app/folder/end-to-end.ts";
import {
  compareSpeech,
  openSpeech,
  openUtterances,
  type SpeechModel,
  transcribe,
} from "../../../src/app/folder/speech.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import { Miss } from "../../../src/core/errors.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { generatorOf } from "../../../src/runtime/run/generate.ts";
import { tone, writeSounds } from "../../sounds.ts";
import { temporaryFolder } from "../../temporary.ts";
import { speechToText } from "../../transformers-js/small-folders.ts";

const folder = temporaryFolder();
const sounds = [tone(1, 200), tone(0.7, 900), tone(0.9, 90)];
const models = new Map<string, Model>();
let speech: SpeechModel;
beforeAll(async () => {
  await speechToText(folder);
  for (const base of ["encoder_model", "decoder_model_merged"])
    models.set(base, await open(join(folder, "onnx", `${base}.onnx`)));
  const opened = await openSpeech(folder, models.get("encoder_model"));
  if (opened === undefined || opened instanceof Miss) throw new Error("no speech");
  speech = opened;
});

function generator(replaced: ReadonlyMap<string, Model> = new Map()) {
  const combined = generatorOf(new Map([...models, ...replaced]));
  if (combined === undefined) throw new Error("no generator");
  return combined;
}

/** Replaces the encoder by one that hears nothing. */
const deaf = () => {
  const encoder = parseModel(`opset 17
graph (input_features: float32[batch, 80, 100]) -> (last_hidden_state: float32[1, 10, 64]) {
  silence: float32[1, 10, 64] = random(seed 5)
  last_hidden_state = Identity(silence)
}`);
  return generator(new Map([["encoder_model", encoder]]));
};

test("begins with the tokens of generation_config.json, omits suppressed tokens and ends at the last one", async () => {
  expect(speech.prompt).toMatchObject({ start: [2, 4], end: 3, suppressed: [0, 1, 2, 4], suppressedFirst: [3] });
  const transcripts = await transcribe(createEngine(), generator(), speech, sounds);
  expect(new Set(transcripts.map(String)).size).toBe(3);
  for (const tokens of transcripts) {
    expect(tokens.length).toBeLessThanOrEqual(12);
    expect(tokens.indexOf(3)).toBe(tokens.length < 12 ? tokens.length - 1 : tokens.indexOf(3));
    expect(tokens.filter((token) => [0, 1, 2, 4].includes(token))).toEqual([]);
  }
  const forced = await transcribe(createEngine(), generator(), speech, sounds, { forced: transcripts });
  expect(forced).toEqual(transcripts);
});

const goal = { maxDrop: 0.05, strict: false };

test("compares transcripts with those of the original, or with the user's", async () => {
  const engine = createEngine();
  writeSounds(join(folder, "wavs"), sounds);
  const utterances = await openUtterances(speech, { path: join(folder, "wavs") }, 0);
  const { endToEnd, expected } = await compareSpeech(engine, generator(), generator(), speech, { utterances, goal });
  expect(endToEnd.answers).toMatchObject({ metric: "word error rate against the original", value: 0 });
  const words = endToEnd.answers?.samples ?? 0;
  expect(words).toBeGreaterThan(3);
  expect(endToEndLoss(endToEnd)).toBeUndefined();
  expect(endToEnd.undecided).toBe(
    `Undecided: to show a loss of at most 5.0 points takes at least 73 words, and there are ${words}. Even if none of them changes, the interval reaches ${((100 * 3.8415) / (words + 3.8415)).toFixed(1)} points.`,
  );
  const lost = await compareSpeech(engine, generator(), deaf(), speech, { utterances, goal, expected });
  expect(lost.endToEnd.answers?.value).toBeGreaterThan(0.05);
  expect(endToEndLoss(lost.endToEnd)).toMatch(/^Word error rate against the original .* 5\.0 points allowed\.$/);
  const texts = expected?.map((tokens) => speech.tokenizer.decode?.(tokens) ?? "") ?? [];
  writeSounds(join(folder, "labeled"), sounds, texts);
  const labeled = await openUtterances(speech, { path: join(folder, "labeled") }, 0);
  const onLabels = await compareSpeech(engine, generator(), deaf(), speech, { utterances: labeled, goal, expected });
  expect(onLabels.endToEnd.answers).toMatchObject({ metric: "word error rate", value: lost.endToEnd.answers?.value });
});

test("changed words reject a file for a stated goal and on few words, but not a file that is only tentative", async () => {
  const engine = createEngine();
  writeSounds(
    join(folder, "many"),
    Array.from({ length: 10 }, (_, index) => tone(0.5 + index / 20, 100 + 90 * index)),
  );
  const utterances = await openUtterances(speech, { path: join(folder, "many") }, 0);
  const transcripts = await transcribe(
    engine,
    generator(),
    speech,
    utterances.map(({ samples }) => samples),
  );
  const [firstTranscript = [], ...laterTranscripts] = transcripts;
  const changed = (token: number, index: number) => (index < 3 ? (token === 10 ? 11 : 10) : token);
  const expected = [firstTranscript.map(changed), ...laterTranscripts];
  const lostFor = async (maxDrop: number | undefined, isTentative: boolean) => {
    const options = { utterances, goal: { maxDrop, strict: false, isTentative }, expected };
    return endToEndLoss((await compareSpeech(engine, generator(), generator(), speech, options)).endToEnd);
  };
  expect(await lostFor(0.001, false)).toMatch(/0\.1 points allowed\.$/);
  expect(await lostFor(0.001, true)).toBeUndefined();
  expect(await lostFor(undefined, false)).toMatch(
    /1\.0 points allowed\. To show a loss of at most 1\.0 points takes at least 390 words, and there are \d+\.$/,
  );
  expect(await lostFor(undefined, true)).toBeUndefined();
});

test("words where the original hears none are errors, for a stated goal and as a significant loss", async () => {
  const engine = createEngine();
  writeSounds(join(folder, "silence"), [tone(0.5, 100), tone(0.6, 300), tone(0.6, 500)]);
  const utterances = await openUtterances(speech, { path: join(folder, "silence") }, 0);
  for (const isTentative of [false, true]) {
    const options = { utterances, goal: { maxDrop: 0.05, strict: false, isTentative }, expected: [[], [], []] };
    const { endToEnd } = await compareSpeech(engine, generator(), generator(), speech, options);
    expect(endToEndLoss(endToEnd)).toMatch(/5\.0 points allowed\.$/);
  }
});

test("compares tokens on noise without sounds of the user", async () => {
  const engine = createEngine();
  const utterances = await openUtterances(speech, undefined, 0);
  const { endToEnd } = await compareSpeech(engine, generator(), generator(), speech, { utterances, goal });
  expect(endToEnd).toEqual({ tokens: 48, same: 48 });
});

test("returns no speech for a folder of texts, and a reason for features that Pith does not compute", async () => {
  const text = parseModel("graph (input_ids: int64[n, s]) -> (y: int64[n, s]) {\n  y = Identity(input_ids)\n}");
  expect(await openSpeech(folder, text)).toBeUndefined();
  const other = temporaryFolder();
  await speechToText(other);
  const settings = { feature_extractor_type: "SeamlessM4TFeatureExtractor", sampling_rate: 16_000 };
  writeFileSync(join(other, "preprocessor_config.json"), JSON.stringify(settings));
  expect(await openSpeech(other, models.get("encoder_model"))).toEqual(
    new Miss('features of kind "SeamlessM4TFeatureExtractor" are not supported'),
  );
});

test("feeds sound as it is to an encoder of samples", async () => {
  const raw = temporaryFolder();
  await speechToText(raw);
  const settings = { feature_extractor_type: "Wav2Vec2FeatureExtractor", sampling_rate: 16_000, do_normalize: false };
  writeFileSync(join(raw, "preprocessor_config.json"), JSON.stringify(settings));
  const encoder = parseModel(`opset 17
graph (input_values: float32[batch, samples]) -> (last_hidden_state: float32[batch, frames, 64]) {
  row: int64[3] = [0, 1, -1]
  weight: float32[64, 1, 1600] = random(seed 6, from -0.2 to 0.2)
  signal = Reshape(input_values, row)
  frames = Conv(signal, weight) {strides=[1600]}
  last_hidden_state = Transpose(frames) {perm=[0, 2, 1]}
}`);
  const opened = await openSpeech(raw, encoder);
  if (opened === undefined || opened instanceof Miss) throw new Error("no speech");
  const listening = generator(new Map([["encoder_model", encoder]]));
  const transcripts = await transcribe(createEngine(), listening, opened, sounds);
  expect(new Set(transcripts.map(String)).size).toBe(3);
});
