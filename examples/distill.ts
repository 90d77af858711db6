/**
 * Knowledge distillation: a small network learns from the outputs of a larger one.
 *
 *     for x, y in loader:
 *         soft = F.kl_div(F.log_softmax(student(x) / T, 1), F.softmax(teacher(x) / T, 1), reduction="batchmean") * T * T
 *         loss = alpha * soft + (1 - alpha) * F.cross_entropy(student(x), y)
 *         optimizer.zero_grad(); loss.backward(); optimizer.step()
 *
 * Differences: the loss contains the teacher, which is not trained, so `no_grad` and `eval()` are not needed. A step computes the loss and new
 * gradients, so `zero_grad` is not needed. `train(student, { data, epochs, loss })` does the same without a loop of your own.
 */
import { mkdir } from "node:fs/promises";
import { open, save } from "pith";
import { distill, distillation } from "pith/distill";
import { createEngine } from "pith/engine";
import { accuracy, evaluate } from "pith/evaluate";
import { linear, network, relu } from "pith/nn";
import { adam, createStep, train } from "pith/train";
import { digits } from "./digits.ts";

const data = await digits();
const shape = { input: ["batch", 784], seed: 1 };
const teacher = network({ fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) }, shape);
const student = network({ fc1: linear(784, 64), relu: relu(), fc2: linear(64, 10) }, shape);
await train(teacher, { data: data.train, epochs: 3, learningRate: 0.003 });

const loss = distillation({ teacher, temperature: 4, alpha: 0.7 });
const optimizer = adam();
const batches = { size: 128, dropLast: true };
let step: Awaited<ReturnType<typeof createStep>> | undefined;
for (let epoch = 1; epoch <= 3; epoch++) {
  let [sum, count] = [0, 0];
  for await (const batch of data.train.batches({ ...batches, shuffle: epoch })) {
    step ??= await createStep(student, batch, { loss }); // the first batch says how many samples a step takes
    sum += await step.run(batch);
    optimizer.update(step.parameters, 0.002);
    count++;
  }
  console.log(`epoch ${epoch}: loss ${(sum / count).toFixed(4)}`);
}
step?.store(student);
await step?.release();

// Without a loop, and without a student: half of the teacher's channels, taught by all of them, from the samples alone.
const half = teacher.clone();
await distill(half, { shrink: 0.5, alpha: 1, data: data.train, epochs: 3 });

await mkdir("out", { recursive: true });
for (const [name, model] of Object.entries({ teacher, student, half })) {
  await save(model, `out/${name}.onnx`);
  const { estimate } = await evaluate(createEngine(), await open(`out/${name}.onnx`), data.test, accuracy());
  console.log(`out/${name}.onnx: accuracy ${(100 * estimate.value).toFixed(2)} % on ${estimate.count} digits`);
}
