// A language model for MNN's engine that answers questions from passages, as `minnow ask` does.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "json.hpp"

namespace minnow {

struct Message {
    std::string role, content;
};

// Returns the rules, and the question with numbered passages: an array of hits, or of objects with a text.
std::vector<Message> answer_prompt(const std::string& question, const Json& passages);

// Safe to call from several threads, which take turns.
class Llm {
public:
    // Opens a folder with config.json and llm.mnn. Throws Error where MNN cannot load it, or has no LLM part.
    Llm(const std::string& folder, int threads);
    ~Llm();
    // Writes at most so many tokens, in pieces of whole characters; `take` returns whether to go on.
    void generate(const std::vector<Message>& messages, int max_tokens, const std::function<bool(const std::string&)>& take);

private:
    struct Engine;
    std::unique_ptr<Engine> engine_;
    std::mutex turns_;
};

}  // namespace minnow
