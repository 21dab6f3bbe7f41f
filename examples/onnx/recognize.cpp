// Run by the tests where ONNXRUNTIME_INCLUDE names the folder of ONNX Runtime's headers (so on 2026-11-23, with the
// headers of 1.12 and the library of 1.32). Build and run:
//   g++ -std=c++17 -I$ONNXRUNTIME_INCLUDE recognize.cpp libonnxruntime.so -o recognize
//   ./recognize residual-emodb-crema-d.waveform.onnx clip.wav
#include <onnxruntime_cxx_api.h>

#include <cstdio>
#include <fstream>
#include <iterator>

int main(int, char** argument) {
  Ort::Env environment;
  Ort::Session session(environment, argument[1], Ort::SessionOptions());
  Ort::AllocatorWithDefaultOptions allocator;
  std::puts(session.GetModelMetadata().LookupCustomMetadataMapAllocated("labels", allocator).get());

  std::ifstream file(argument[2], std::ios::binary);  // mono, 16 kHz, 16 bit
  const std::string wav(std::istreambuf_iterator<char>(file), {});
  std::vector<float> waveform;
  for (size_t at = wav.find("data") + 8; at + 1 < wav.size(); at += 2)
    waveform.push_back(static_cast<int16_t>((wav[at] & 0xff) | wav[at + 1] << 8) / 32768.0f);

  const int64_t shape[] = {1, static_cast<int64_t>(waveform.size())};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const auto input = Ort::Value::CreateTensor<float>(memory, waveform.data(), waveform.size(), shape, 2);
  const char *in[] = {"waveform"}, *out[] = {"probabilities", "attention"};
  const auto said = session.Run({}, in, &input, 1, out, 2);
  const size_t classes = said[0].GetTensorTypeAndShapeInfo().GetElementCount();
  for (size_t k = 0; k < classes; ++k) std::printf("%.4f\n", said[0].GetTensorData<float>()[k]);
}
