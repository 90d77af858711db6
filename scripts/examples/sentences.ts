/** Requests to a smart home, drawn from a grammar, with missing words: which of six intents does a sentence have? */
import { type Dataset, memory, tokenize } from "pith/data";
import * as nn from "pith/nn";
import { createTokenizer } from "../../src/data/text/tokenizer.ts";
import { createRandom, type Example, encodeText } from "./example.ts";

/** Sentences by intent. `{a|b}` is a choice, and `{name}` an element of a list. */
const intents: Readonly<Record<string, readonly string[]>> = {
  light: [
    "turn {on|off} the {lamp|light|lights} {place}",
    "make it {brighter|darker} {place}",
    "switch off the {lamp|lights} {time}",
    "it is too {dark|bright} {place}",
  ],
  heating: [
    "make it {warmer|colder} {place}",
    "set the {heating|temperature} to {number} degrees {time}",
    "it is too {cold|hot} {place}",
    "turn {up|down} the heating {time}",
  ],
  music: [
    "play {some|more} {jazz|rock|piano music} {place}",
    "turn {up|down} the {music|volume} {place}",
    "{stop|pause} the music {time}",
    "play that song again {place}",
  ],
  timer: [
    "set a timer for {number} minutes",
    "wake me up at {number} {time}",
    "remind me {time} in {number} minutes",
    "how long is left on the timer",
  ],
  weather: [
    "will it {rain|snow} {time}",
    "how {warm|cold|windy} is it outside {time}",
    "do i need {an umbrella|a coat} {time}",
    "what is the weather {time}",
  ],
  shopping: [
    "put {food} on the list {time}",
    "add {number} {food} to the shopping list",
    "we have no more {food}",
    "buy {food} {time}",
  ],
};

const lists: Readonly<Record<string, string>> = {
  place: "in the kitchen|in the bedroom|upstairs|in the bathroom|here|in the hall|",
  time: "today|tomorrow|tonight|in the morning|now|on monday|please|",
  number: "two|three|five|seven|ten|twelve|twenty",
  food: "milk|bread|eggs|apples|coffee|tea|rice|butter",
};

/** Share of the words that are missing. */
const missingShare = 0.25;
const [tokens, width] = [16, 64];

function drawSentences(
  count: number,
  seed: number,
): { readonly texts: readonly string[]; readonly labels: readonly number[] } {
  const random = createRandom(seed);
  const choose = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const labels = Array.from({ length: count }, () => Math.floor(random() * Object.keys(intents).length));
  const texts = labels.map((label) => {
    const sentence = choose(Object.values(intents)[label] ?? []).replace(/\{([^}]+)\}/g, (_, choice: string) =>
      choose((lists[choice] ?? choice).split("|")),
    );
    const words = sentence.trim().split(/\s+/);
    const heard = words.filter(() => random() >= missingShare);
    return (heard.length === 0 ? words : heard).join(" ");
  });
  return { texts, labels };
}

/** Returns the first sentences that differ from all earlier ones, because repeated samples are not independent. */
function selectDistinct({ texts, labels }: ReturnType<typeof drawSentences>, count: number) {
  const positions = [...new Map(texts.map((text) => [text, texts.indexOf(text)])).values()];
  const chosen = positions.slice(0, count);
  return {
    texts: chosen.map((position) => texts[position] ?? ""),
    labels: chosen.map((position) => labels[position] ?? 0),
  };
}

/** Returns a tokenizer with a token for each word. */
function describeTokenizer() {
  const texts = [...Object.values(intents).flat(), ...Object.values(lists)].join(" ");
  const words = [...new Set(texts.match(/[a-z]+/g))].sort();
  const special = ["[PAD]", "[UNK]", "[CLS]"];
  const vocabulary = Object.fromEntries([...special, ...words].map((word, id) => [word, id]));
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const mark = { SpecialToken: { id: "[CLS]", type_id: 0 } };
  const text = { Sequence: { id: "A", type_id: 0 } };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({ id, content, ...flags })),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single: [mark, text],
      pair: [mark, text],
      special_tokens: { "[CLS]": { id: "[CLS]", ids: [2], tokens: ["[CLS]"] } },
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: vocabulary,
    },
  };
}

export async function sentences(): Promise<Example> {
  const description = describeTokenizer();
  const settings = { pad_token: "[PAD]", model_max_length: tokens };
  const config = { id2label: Object.fromEntries(Object.keys(intents).entries()) };
  const words = Object.keys(description.model.vocab).length;
  const layer = nn.sequential({
    attention: nn.residual({ self: nn.attention(width, 4, { mask: "attention_mask" }) }),
    norm1: nn.layerNorm(width),
    feed: nn.residual({ up: nn.linear(width, 2 * width), gelu: nn.gelu(), down: nn.linear(2 * width, width) }),
    norm2: nn.layerNorm(width),
  });
  const model = nn.network(
    {
      embeddings: nn.sequential({
        word: nn.embedding(words, width),
        position: nn.positionEmbedding(tokens, width),
        norm: nn.layerNorm(width),
      }),
      encoder: nn.sequential({ layer: nn.sequential([layer, layer]) }),
      first: nn.select(1, 0),
      classifier: nn.linear(width, Object.keys(intents).length),
    },
    {
      input: {
        input_ids: { type: "int64", dims: ["batch", tokens] },
        attention_mask: { type: "int64", dims: ["batch", tokens] },
      },
      seed: 1,
    },
  );
  const tokenizer = await createTokenizer("tokenizer.json", description, settings, config);
  const prepare = ({ texts, labels }: ReturnType<typeof drawSentences>): Dataset =>
    tokenize(
      memory("sentences", {
        text: { type: "string", dims: [texts.length], data: [...texts] },
        label: { type: "int64", dims: [labels.length], data: BigInt64Array.from(labels, BigInt) },
      }),
      model.graph.feeds,
      { tokenizer },
    );
  const samples = selectDistinct(drawSentences(1500, 2), 700);
  const names = Object.keys(intents);
  const rows = samples.texts.map((text, index) => `${text}\t${names[samples.labels[index] ?? 0]}`);
  const json = (value: object): Uint8Array => encodeText(JSON.stringify(value, undefined, 1));
  return {
    model,
    training: prepare(drawSentences(6000, 1)),
    test: prepare(samples),
    epochs: 4,
    files: {
      "tokenizer.json": json(description),
      "tokenizer_config.json": json(settings),
      "config.json": json(config),
      "samples.tsv": encodeText(["text\tlabel", ...rows].join("\n")),
    },
  };
}
