/** The mistakes: command lines, with the expected messages. */
import { existsSync } from "node:fs";
import type { Mistake } from "./run.ts";

const points = ["--data", "points.csv"];
/** A path that no user can write to. */
const sealed = "/proc/pith";

const typed: readonly Mistake[] = [
  {
    name: "a mistyped command",
    words: ["quantise", "net.onnx"],
    code: 2,
    says: /E_USAGE: .*'quantise'/,
    hint: /Did you mean quantize\?/,
  },
  {
    name: "a mistyped flag",
    words: ["quantize", "net.onnx", "--sheme", "weights"],
    code: 2,
    says: /E_USAGE: .*'--sheme'/,
    hint: /Did you mean --scheme\?/,
  },
  {
    name: "a mistyped value",
    words: ["quantize", "net.onnx", "--scheme", "dinamic"],
    code: 2,
    says: /E_OPTION: --scheme: expected .*dynamic.*, got "dinamic"/,
    hint: /Did you mean dynamic\?/,
  },
  {
    name: "a mistyped metric",
    words: ["eval", "net.onnx", ...points, "--metric", "acuracy"],
    code: 2,
    says: /E_OPTION: --metric: expected/,
    hint: /Did you mean accuracy\?/,
  },
  ...[
    ["prune", "--amount", "50%"],
    ["quantize", "--scheme", "weights"],
    ["quantize", "--scheme", "dynamic"],
    ["quantize", "--scheme", "float16"],
    ["quantize", "--scheme", "static", ...points],
    ["factorize", "--rank", "1"],
    ["train", ...points, "--epochs", "1"],
    ["distill", ...points, "--teacher", "net.onnx", "--epochs", "1"],
  ].map(
    ([command = "", ...rest]): Mistake => ({
      name: `a mistyped layer: ${command} ${rest.slice(0, 2).join(" ")}`,
      words: [command, "net.onnx", ...rest, "--layers", "encodr"],
      code: 2,
      says: /E_NAME: No layer is called "encodr"/,
      hint: /Did you mean "encoder"\? Layers: encoder, head\./,
    }),
  ),
  { name: "no command's file", words: ["inspect"], code: 2, says: /E_USAGE: .*model\.onnx/ },
  {
    name: "a file too many",
    words: ["inspect", "net.onnx", "points.csv"],
    code: 2,
    says: /E_USAGE: Too many arguments/,
  },
  { name: "a flag without its value", words: ["prune", "net.onnx", "--amount"], code: 2, says: /E_USAGE: .*--amount/ },
  { name: "--batch 0", words: ["eval", "net.onnx", ...points, "--batch", "0"], code: 2, says: /E_OPTION: --batch: / },
  {
    name: "--samples -5",
    words: ["eval", "net.onnx", ...points, "--samples", "-5"],
    code: 2,
    says: /E_OPTION: --samples: /,
  },
  { name: "--seed 1.5", words: ["eval", "net.onnx", ...points, "--seed", "1.5"], code: 2, says: /E_OPTION: --seed: / },
  { name: "--epochs 0", words: ["train", "net.onnx", ...points, "--epochs", "0"], code: 2, says: /E_OPTION: .*epochs/ },
  {
    name: "--learning-rate NaN",
    words: ["train", "net.onnx", ...points, "--learning-rate", "NaN"],
    code: 2,
    says: /E_OPTION: --learning-rate: expected a number, got "NaN"/,
  },
  {
    name: "--max-drop NaN",
    words: ["quantize", "net.onnx", "--scheme", "weights", ...points, "--max-drop", "NaN"],
    code: 2,
    says: /E_OPTION: --max-drop: expected a number, got "NaN"/,
  },
  {
    name: "--max-drop 1, which is all",
    words: ["quantize", "net.onnx", "--scheme", "weights", ...points, "--max-drop", "1"],
    code: 2,
    says: /E_OPTION: --max-drop 1 would allow any loss/,
  },
  { name: "--amount -0.5", words: ["prune", "net.onnx", "--amount", "-0.5"], code: 2, says: /E_OPTION: .*from 0 to 1/ },
  {
    name: "--amount 50",
    words: ["prune", "net.onnx", "--amount", "50"],
    code: 2,
    says: /E_OPTION: --amount: 50 is more than all/,
  },
  {
    name: "an amount twice",
    words: ["prune", "net.onnx", "--structured", "30%", "--amount", "50%"],
    code: 2,
    says: /E_OPTION: .*given twice/,
  },
  {
    name: "rank and budget together",
    words: ["factorize", "net.onnx", "--rank", "2", "--budget", "0.9"],
    code: 2,
    says: /E_OPTION: .*at most one of --budget and --rank/,
  },
  {
    name: "a dimension of 0",
    words: ["simplify", "net.onnx", "--fix", "batch=0"],
    code: 2,
    says: /E_OPTION: --fix: expected name=size/,
  },
  {
    name: "an input that is not there",
    words: ["simplify", "net.onnx", "--set", "sr=16000"],
    code: 2,
    says: /E_\w+: .*"sr"/,
  },
  {
    name: "an output that is not there",
    words: ["eval", "net.onnx", ...points, "--output", "logit"],
    code: 1,
    says: /E_DATA: .*no output "logit", only logits/,
  },
  {
    name: "static without data",
    words: ["quantize", "net.onnx", "--scheme", "static"],
    code: 2,
    says: /E_USAGE: quantize needs --data/,
  },
  {
    name: "--max-drop without data",
    words: ["prune", "net.onnx", "--amount", "50%", "--max-drop", "1%"],
    code: 2,
    says: /E_USAGE: --max-drop needs --data/,
  },
  { name: "training without data", words: ["train", "net.onnx"], code: 2, says: /E_USAGE: train needs --data/ },
  { name: "compress without data", words: ["compress", "net.onnx"], code: 2, says: /E_USAGE: --data is needed/ },
  {
    name: "distill without a teacher",
    words: ["distill", "net.onnx", ...points],
    code: 2,
    says: /E_OPTION: --teacher is needed, or --shrink or --keep-layers/,
  },
  {
    name: "a threshold without an original",
    words: ["eval", "net.onnx", ...points, "--min-agreement", "97%"],
    code: 2,
    says: /E_USAGE: --min-agreement needs --original/,
  },
  {
    name: "a threshold of 90",
    words: ["eval", "net.onnx", ...points, "--min-accuracy", "90"],
    code: 2,
    says: /E_OPTION: --min-accuracy: 90 is more than all/,
  },
  {
    name: "a preprocessing that is not known",
    words: ["eval", "images.onnx", "--data", "photos", "--preprocess", "imagnet"],
    code: 2,
    says: /E_OPTION: .*"imagnet"/,
  },
  {
    name: "a preprocessing of images for a table",
    words: ["eval", "net.onnx", ...points, "--preprocess", "imagenet"],
    code: 2,
    says: /E_OPTION: --preprocess is for stored images/,
  },
  {
    name: "a score that is none",
    words: ["eval", "net.onnx", "--score", "score.mjs"],
    code: 2,
    says: /E_OPTION: .*exports no function/,
  },
];

const strangers: readonly Mistake[] = [
  { name: "no such file", words: ["inspect", "nte.onnx"], code: 1, says: /E_FILE: "nte\.onnx" .*no such file/ },
  { name: "a link to nothing", words: ["inspect", "dangling.onnx"], code: 1, says: /E_FILE: "dangling\.onnx" / },
  {
    name: "a folder as model",
    words: ["quantize", "models", "--scheme", "weights"],
    code: 1,
    says: /E_FILE: "models" .*folder/,
  },
  { name: "a text as model", words: ["inspect", "notes.onnx"], code: 1, says: /E_NOT_ONNX: .*a text/ },
  {
    name: "a PyTorch checkpoint",
    words: ["prune", "model.pt", "--amount", "50%"],
    code: 1,
    says: /E_NOT_ONNX: .*PyTorch/,
    hint: /torch\.onnx\.export/,
  },
  {
    name: "safetensors",
    words: ["inspect", "model.safetensors"],
    code: 1,
    says: /E_NOT_ONNX: .*safetensors/,
    hint: /export/,
  },
  {
    name: "gguf",
    words: ["quantize", "model.gguf", "--scheme", "dynamic"],
    code: 1,
    says: /E_NOT_ONNX: .*GGUF/,
    hint: /ONNX/,
  },
  {
    name: "tflite",
    words: ["inspect", "model.tflite"],
    code: 1,
    says: /E_NOT_ONNX: .*TensorFlow Lite/,
    hint: /tf2onnx/,
  },
  {
    name: "a page instead of the download",
    words: ["inspect", "page.onnx"],
    code: 1,
    says: /E_NOT_ONNX: .*page/,
    hint: /link/,
  },
  {
    name: "a Git LFS pointer",
    words: ["inspect", "pointer.onnx"],
    code: 1,
    says: /E_NOT_ONNX: .*Git LFS/,
    hint: /git lfs pull/,
  },
  { name: "an empty file", words: ["inspect", "zero-bytes.onnx"], code: 1, says: /E_NOT_ONNX: .*empty/ },
  {
    name: "a truncated model",
    words: ["quantize", "truncated.onnx", "--scheme", "weights"],
    code: 1,
    says: /E_NOT_ONNX: .*byte/,
  },
  {
    name: "a damaged model",
    words: ["prune", "damaged.onnx", "--amount", "50%"],
    code: 1,
    says: /E_(NOT_ONNX|MODEL): /,
  },
  {
    name: "weights that are not there",
    words: ["quantize", "lonely.onnx", "--scheme", "weights"],
    code: 1,
    says: /E_FILE: .*outside\.onnx_data/,
  },
  {
    name: "weights outside the folder",
    words: ["prune", "escaping.onnx", "--amount", "50%"],
    code: 1,
    says: /E_\w+: .*\.\.\/\.\.\/etc\/passwd1/,
  },
  {
    name: "weights at an absolute place",
    words: ["prune", "absolute.onnx", "--amount", "50%"],
    code: 1,
    says: /E_\w+: .*\/etc\/security\/abc/,
  },
  {
    name: "weights behind a link",
    words: ["prune", "linked.onnx", "--amount", "50%"],
    code: 1,
    says: /E_\w+: .*linked\.onnx_data1/,
  },
  {
    name: "an operator set of the future",
    words: ["quantize", "opset99.onnx", "--scheme", "dynamic"],
    code: 1,
    says: /E_\w+: .*99/,
  },
  {
    name: "another's operator: run",
    words: ["eval", "foreign.onnx", ...points],
    code: 1,
    says: /E_ENGINE: .*my\.company/,
  },
  { name: "another's operator: timed", words: ["bench", "foreign.onnx"], code: 1, says: /E_ENGINE: .*my\.company/ },
  {
    name: "another's operator: trained through",
    words: ["train", "foreign.onnx", ...points],
    code: 1,
    says: /E_\w+: .*Fold/,
  },
  {
    name: "no gradient",
    words: ["train", "determined.onnx", ...points],
    code: 1,
    says: /E_NOT_DIFFERENTIABLE: .*ReduceProd/,
  },
];

const data: readonly Mistake[] = [
  { name: "no such data", words: ["eval", "net.onnx", "--data", "point.csv"], code: 1, says: /E_FILE: .*"point\.csv"/ },
  { name: "an empty folder as data", words: ["eval", "net.onnx", "--data", "empty"], code: 1, says: /E_DATA: .*empty/ },
  { name: "a model as data", words: ["eval", "net.onnx", "--data", "net.onnx"], code: 1, says: /E_DATA: .*net\.onnx/ },
  {
    name: "a module without data",
    words: ["eval", "net.onnx", "--data", "module.mjs"],
    code: 1,
    says: /E_DATA: .*module\.mjs/,
  },
  {
    name: "a table with a column too many",
    words: ["eval", "net.onnx", "--data", "wide.csv"],
    code: 1,
    says: /E_DATA: /,
  },
  {
    name: "a table with words",
    words: ["eval", "net.onnx", "--data", "words.csv"],
    code: 1,
    says: /E_DATA: .*words\.csv/,
  },
  {
    name: "a table with a short line",
    words: ["eval", "net.onnx", "--data", "ragged.csv"],
    code: 1,
    says: /E_DATA: .*ragged\.csv/,
  },
  {
    name: "a table of titles alone",
    words: ["eval", "net.onnx", "--data", "titles.csv"],
    code: 1,
    says: /E_DATA: .*titles\.csv/,
  },
  {
    name: "lines that break off",
    words: ["eval", "net.onnx", "--data", "broken.jsonl"],
    code: 1,
    says: /E_DATA: .*broken\.jsonl/,
  },
  {
    name: "an archive that is none",
    words: ["eval", "net.onnx", "--data", "broken.npz"],
    code: 1,
    says: /E_DATA: .*broken\.npz/,
  },
  {
    name: "classes that the model does not know",
    words: ["eval", "net.onnx", "--data", "classes.csv"],
    code: 1,
    says: /E_DATA: .*label is 7/,
  },
  {
    name: "no labels and no original",
    words: ["eval", "net.onnx", "--data", "unlabelled.csv"],
    code: 1,
    says: /E_DATA: .*no labels/,
  },
  {
    name: "no labels to train on",
    words: ["train", "net.onnx", "--data", "unlabelled.csv"],
    code: 1,
    says: /E_DATA: /,
  },
  {
    name: "images without labels or preprocessing",
    words: ["quantize", "images.onnx", "--scheme", "static", "--data", "photos"],
    code: 1,
    says: /E_DATA: .*no labels/,
    hint: /--preprocess/,
  },
  {
    name: "images that are none",
    words: ["eval", "images.onnx", "--data", "spoiled"],
    code: 1,
    says: /E_DATA: .*one\.png/,
  },
  {
    name: "images for a model of points",
    words: ["eval", "net.onnx", "--data", "photos", "--original", "net.onnx"],
    code: 1,
    says: /E_DATA: /,
  },
  { name: "points for a model of images", words: ["eval", "images.onnx", ...points], code: 1, says: /E_DATA: / },
  {
    name: "an original at chance: prune",
    words: ["prune", "untrained.onnx", "--amount", "50%", ...points],
    code: 1,
    says: /E_DATA: The original scores .* commonest answer/,
  },
  {
    name: "an original at chance: compress",
    words: ["compress", "untrained.onnx", ...points],
    code: 1,
    says: /E_DATA: The original scores .* commonest answer/,
    remarks: true,
  },
];

const results: readonly Mistake[] = [
  {
    name: "an output that is a folder",
    words: ["quantize", "net.onnx", "--scheme", "weights", "-o", "models"],
    code: 1,
    says: /E_FILE: "models" cannot be written: it is a folder/,
  },
  {
    name: "an output in no folder",
    words: ["quantize", "net.onnx", "--scheme", "weights", "-o", "nowhere/out.onnx"],
    code: 1,
    says: /E_FILE: "nowhere\/out\.onnx" cannot be written/,
  },
  {
    name: "an output below a file",
    words: ["simplify", "net.onnx", "-o", "taken/out.onnx"],
    code: 1,
    says: /E_FILE: "taken\/out\.onnx" cannot be written/,
  },
  {
    name: "results in a file",
    words: ["compress", "net.onnx", ...points, "-o", "taken"],
    code: 1,
    says: /E_FILE: "taken" is a file/,
  },
  {
    name: "results over the model",
    words: ["quantize", "net.onnx", "--scheme", "weights", "-o", "./net.onnx"],
    code: 2,
    says: /E_OPTION: .*the model itself/,
  },
  {
    name: "results over the model, with --force",
    words: ["quantize", "net.onnx", "--scheme", "weights", "-o", "net.onnx", "--force"],
    code: 2,
    says: /E_OPTION: .*the model itself/,
  },
  {
    name: "results over the model, by another name",
    words: ["quantize", "net.onnx", "--scheme", "weights", "-o", "alias.onnx"],
    code: 2,
    says: /E_OPTION: .*the model itself/,
  },
  {
    name: "results over the data",
    words: ["quantize", "net.onnx", "--scheme", "weights", ...points, "-o", "points.csv"],
    code: 2,
    says: /E_OPTION: .*the data/,
  },
  {
    name: "results over the teacher",
    words: ["distill", "net.onnx", ...points, "--teacher", "lopsided.onnx", "-o", "lopsided.onnx"],
    code: 2,
    says: /E_OPTION: .*the teacher/,
  },
  {
    name: "a summary in the model",
    words: ["eval", "net.onnx", ...points, "--markdown", "net.onnx"],
    code: 2,
    says: /E_OPTION: .*the model itself/,
  },
  {
    name: "a threshold that is missed",
    words: ["eval", "worse.onnx", ...points, "--min-accuracy", "90%"],
    code: 1,
    says: /missed: accuracy .* 90\.0 % required/,
    answer: true,
  },
  {
    name: "a threshold that the interval misses",
    words: ["eval", "net.onnx", ...points, "--min-accuracy", "99%", "--strict"],
    code: 1,
    says: /missed: accuracy .* 99\.0 % required/,
    answer: true,
  },
  {
    name: "an original of another kind",
    words: ["eval", "untrained.onnx", "--original", "net.onnx", ...points],
    code: 1,
    says: /E_DATA: The models differ: this one takes "input".*The original answers in "logits", which the model does not have\./,
  },
  {
    name: "a drop that is too large",
    words: ["eval", "worse.onnx", "--original", "net.onnx", ...points, "--max-drop", "1%"],
    code: 1,
    says: /The goal is missed/,
    answer: true,
  },
  {
    name: "a summary in no folder",
    words: ["eval", "net.onnx", ...points, "--markdown", "nowhere/summary.md"],
    code: 1,
    says: /E_FILE: "nowhere\/summary\.md"/,
  },
  {
    name: "timings in no folder",
    words: ["bench", "net.onnx", "--rounds", "1", "--markdown", "nowhere/summary.md"],
    code: 1,
    says: /E_FILE: "nowhere\/summary\.md"/,
  },
  {
    name: "a cosine of 2",
    words: ["eval", "lopsided.onnx", "--original", "lopsided.onnx", "--data", "unlabelled.csv", "--min-cosine", "2"],
    code: 2,
    says: /E_OPTION: --min-cosine/,
  },
  {
    name: "everything pruned",
    words: ["prune", "net.onnx", "--amount", "100%", ...points],
    code: 1,
    says: /E_ACCURACY_LOST: .*Nothing was written\./,
  },
  {
    name: "everything pruned, and no data",
    words: ["prune", "net.onnx", "--amount", "100%"],
    code: 1,
    says: /E_ACCURACY_LOST: .*random inputs.*Nothing was written\./,
    hint: /--data.*--force/,
  },
  {
    name: "eight bits that lose what decides, and no data",
    words: ["quantize", "lopsided.onnx", "--scheme", "dynamic"],
    code: 1,
    says: /E_ACCURACY_LOST: .*random inputs.*Nothing was written\./,
    hint: /--force/,
  },
  {
    name: "a recipe that loses the function",
    words: ["compress", "net.onnx", ...points, "-r", "cut.yaml"],
    code: 1,
    says: /E_ACCURACY_LOST: /,
    remarks: true,
    shows: true,
  },
  {
    name: "a rank that is too large",
    words: ["factorize", "net.onnx", "--rank", "64"],
    code: 1,
    says: /Nothing changed, and nothing was written/,
    answer: true,
  },
  {
    name: "a model that is quantized already",
    words: ["quantize", "quantized.onnx", "--scheme", "weights"],
    code: 1,
    says: /Nothing changed, and nothing was written/,
    answer: true,
  },
  {
    name: "Ctrl-C in the middle of training",
    words: ["train", "net.onnx", ...points, "--epochs", "100000"],
    code: 1,
    says: /E_STOPPED: /,
    interruptAt: /epoch 2/,
    remarks: true,
  },
  {
    name: "Ctrl-C in the middle of a recipe",
    words: ["compress", "net.onnx", ...points, "-r", "long.yaml", "-o", "out"],
    code: 1,
    says: /E_STOPPED: /,
    interruptAt: /epoch 2/,
    remarks: true,
  },
];

const recipes: readonly Mistake[] = (
  [
    ["that is not there", "nowhere.yaml", 1, /E_FILE: .*nowhere\.yaml/],
    ["that is no YAML", "syntax.yaml", 2, /E_OPTION: syntax\.yaml:\d+:\d+: no valid YAML/],
    ["with an unknown step", "unknown.yaml", 2, /E_OPTION: unknown\.yaml:2:5: .*no step "quantise"/],
    ["with a word for a number", "type.yaml", 2, /E_OPTION: type\.yaml:2:\d+: .*amount/],
    ["with a mistyped option", "option.yaml", 2, /E_OPTION: option\.yaml:2:\d+: .*amuont/],
    ["without steps", "none.yaml", 2, /E_OPTION: none\.yaml:1:\d+: .*at least one step/],
    ["of a later version", "future.yaml", 2, /E_OPTION: future\.yaml:1:\d+: .*version 2/],
  ] as const
).map(
  ([description, file, code, says]): Mistake => ({
    name: `a recipe ${description}`,
    words: ["compress", "net.onnx", ...points, "-r", file],
    code,
    says,
  }),
);

const late: readonly Mistake[] = [
  {
    name: "a recipe with a mistyped layer",
    words: ["compress", "net.onnx", ...points, "-r", "layer.yaml"],
    code: 2,
    says: /E_NAME: No layer is called "encodr"/,
    hint: /Did you mean "encoder"\?/,
    remarks: true,
  },
  {
    name: "a recipe whose teacher is not there",
    words: ["compress", "net.onnx", ...points, "-r", "teacher.yaml"],
    code: 1,
    says: /E_FILE: "nowhere\.onnx"/,
    remarks: true,
  },
  {
    name: "a teacher that is not there",
    words: ["distill", "net.onnx", ...points, "--teacher", "nowhere.onnx"],
    code: 1,
    says: /E_FILE: "nowhere\.onnx"/,
  },
  {
    name: "a teacher of something else",
    words: ["distill", "net.onnx", ...points, "--teacher", "images.onnx"],
    code: 1,
    says: /E_\w+: /,
  },
];

/** Mistakes that only some operating systems can reproduce. */
const systems: readonly Mistake[] = [
  ...(existsSync("/proc/self")
    ? [
        {
          name: "a folder that nobody may write to",
          words: ["quantize", "net.onnx", "--scheme", "weights", "-o", `${sealed}.onnx`],
          code: 1,
          says: /E_FILE: .*cannot be written/,
        } as const,
        {
          name: "a folder that nobody may make",
          words: ["compress", "net.onnx", ...points, "-o", sealed, "--force"],
          code: 1,
          says: /E_FILE: .*cannot be (written|made)/,
          remarks: true,
        } as const,
      ]
    : []),
  ...(existsSync("/dev/full")
    ? [
        {
          name: "a device instead of a file",
          words: ["quantize", "net.onnx", "--scheme", "weights", "-o", "/dev/full"],
          code: 1,
          says: /E_FILE: "\/dev\/full" cannot be written/,
        } as const,
        {
          name: "a summary on a full disk",
          words: ["eval", "net.onnx", ...points, "--markdown", "/dev/full"],
          code: 1,
          says: /E_FILE: "\/dev\/full" cannot be written: the disk is full/,
        } as const,
        {
          name: "standard output on a full disk",
          words: ["inspect", "net.onnx"],
          code: 1,
          says: /E_FILE: .*standard output.*the disk is full/i,
          full: true,
        } as const,
      ]
    : []),
];

export const cases: readonly Mistake[] = [...typed, ...strangers, ...data, ...results, ...recipes, ...late, ...systems];
