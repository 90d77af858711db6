import { describe, expect, it } from "vitest";
import { Model } from "../../core/graph/model.ts";
import { parsePreprocessorConfig, presets } from "../images/presets.ts";
import {
  parsePreprocessingSpec,
  preprocessingKey,
  preprocessingSpecText,
  readPreprocessing,
} from "./preprocessing-spec.ts";

describe("preprocessing recorded in a model", () => {
  it.each([
    "imagenet",
    "caffe",
    "raw layout=NHWC",
    "imagenet resize=256 crop=224",
    "scale=0.5 mean=0.1,1e-7,3 std=0.3333333333333333,2,4 channels=BGR layout=NCHW resize=240x320 filter=bicubic",
    "length=64",
    "frame=512 context=64 rate=16000",
  ])("reads a setting as stated: %s", (text) => {
    const model = new Model();
    const stated = parsePreprocessingSpec(text);
    model.header.metadata.set(preprocessingKey, preprocessingSpecText(stated));
    const { images, ...rest } = readPreprocessing(model);
    expect({ ...rest, images: { ...images, name: "" } }).toEqual({ ...stated, images: { ...stated.images, name: "" } });
  });

  // A link of the studio can name a preprocessing, and anybody can have written the link.
  it.each(["./evil.mjs", "file:///etc/passwd", "__proto__", "constructor", "<img src=x>", "scale=Infinity", "std=0"])(
    "rejects text that is no setting, without reading anything: %s",
    (text) => {
      expect(() => parsePreprocessingSpec(text)).toThrow(expect.objectContaining({ code: "E_OPTION" }));
    },
  );

  it("replaces the preprocessor config file", () => {
    const config = {
      do_rescale: true,
      rescale_factor: 0.0039,
      image_mean: [0.4, 0.5, 0.6],
      image_std: [0.2, 0.3, 0.4],
    };
    const preprocessing = parsePreprocessorConfig(config);
    const { images } = parsePreprocessingSpec(
      preprocessingSpecText({ images: preprocessing, length: undefined, frames: undefined }),
    );
    expect({ ...images, name: preprocessing.name }).toEqual(preprocessing);
  });

  it("writes the name of an equal preset, whatever the setting's name", () => {
    const custom = { ...presets.cifar10, name: "mine" };
    expect(preprocessingSpecText({ images: custom, length: undefined, frames: undefined })).toBe("cifar10");
  });

  it("reads missing metadata as no setting, and rejects invalid metadata", () => {
    const model = new Model();
    expect(readPreprocessing(model)).toEqual({ images: undefined, length: undefined, frames: undefined });
    model.header.metadata.set(preprocessingKey, "as usual");
    expect(() => readPreprocessing(model)).toThrow(
      'The model\'s metadata entry pith.preprocessing is invalid: "as usual".',
    );
  });
});
