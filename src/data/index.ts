export { type AugmentedOptions, augmented } from "./augment.ts";
export { type Augmentation, augmentationSchema, parseAugmentation } from "./augment-options.ts";
export { type Binding, bindInputs, type ModelInput } from "./bind.ts";
export { cifar } from "./cifar.ts";
export { prefetched } from "./feed.ts";
export { type FrameOptions, frames } from "./frames.ts";
export { contentHash } from "./hash.ts";
export { idx, parseIdx } from "./idx.ts";
export { type ImagesOptions, imageFiles, images } from "./images.ts";
export { indexed, isIndexed, mapBatches, memory, view } from "./indexed.ts";
export { labelNames } from "./labels.ts";
export { textLines } from "./lines.ts";
export { fromModule, type ModuleOptions } from "./module.ts";
export { parseNpy, parseNpz } from "./npy.ts";
export { type OpenDatasetOptions, openDataset } from "./open.ts";
export type { Reading } from "./open-file.ts";
export { openParts, type Parts, type PartsOptions } from "./parts.ts";
export {
  findImages,
  geometryUsed,
  type ImageInput,
  imageChannels,
  preprocess,
  preprocessBatch,
  type StoredImages,
} from "./preprocess.ts";
export { type PreprocessingSpec, parsePreprocessingSpec } from "./preprocessing-spec.ts";
export {
  candidates,
  fromPreprocessorConfig,
  type Preprocessing,
  type PresetName,
  parsePreprocessing,
  presets,
} from "./presets.ts";
export { gatherRows, joinRows, mapColumns, sampleCount, sliceRows } from "./rows.ts";
export { collect, draw, split, take } from "./select.ts";
export {
  isLanguageModel,
  type SequenceOptions,
  textColumns,
  tokenInput,
  tokenize,
} from "./sequences.ts";
export { rateInput, readingFor, readSidecars, type Sidecars, soundInput } from "./sidecars.ts";
export { findStates, parseState, type State, setStates, statesText } from "./states.ts";
export { csv, jsonl, type TableOptions } from "./table.ts";
export { createTokenizer, type Encoding, openTokenizer, type TextTokenizer, tokenizerBeside } from "./tokenizer.ts";
export { type TokenFile, tokensInFile, tokensOfText } from "./tokens.ts";
export type { BatchOptions, Dataset, IndexedDataset, Part } from "./types.ts";
export { openWav, type Sound } from "./wav.ts";
