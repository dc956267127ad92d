#include "llm.hpp"

#include <algorithm>

#include "expressions.hpp"
#include "unicode.hpp"

#if MINNOW_HAS_LLM
#include <llm/llm.hpp>
#include <sstream>
#endif

namespace minnow {
namespace {

// Returns a text with a space in whatever could end a passage or a turn, such as </passage>, <|im_end|> or [/INST].
std::string defused(const std::string& text) {
    std::string found;
    for (size_t at = 0; at < text.size(); ++at) {
        found += text[at];
        char next = at + 1 < text.size() ? text[at + 1] : ' ';
        bool letter = (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z');
        if ((text[at] == '<' || text[at] == '[') && (letter || next == '/' || next == '|')) found += ' ';
    }
    return clean(found);
}

std::string block_of(size_t number, const Json& passage) {
    std::string place = passage.get<std::string>("source", "");
    std::string above;
    for (auto& heading : passage.get("headings", Json::Array{})) above += (above.empty() ? "" : " > ") + heading.as<std::string>("headings");
    if (!place.empty() && !above.empty()) place += ", ";
    std::u32string text = decode_utf8(passage.get<std::string>("text"));
    size_t body = static_cast<size_t>(std::max(0.0, passage.get<double>("body", 0)));
    return "<passage>\n[" + std::to_string(number) + "] " + defused(place + above) + "\n" +
           defused(encode_utf8(text.substr(std::min(body, text.size())))) + "\n</passage>\n\n";
}

}  // namespace

std::vector<Message> answer_prompt(const std::string& question, const Json& passages) {
    std::string content;
    size_t number = 0;
    for (auto& passage : passages.as<Json::Array>("passages")) content += block_of(++number, passage);
    return {{"system", kRules}, {"user", content + "Question: " + defused(question)}};
}

#if MINNOW_HAS_LLM

struct Llm::Engine {
    std::unique_ptr<MNN::Transformer::Llm> llm;
};

Llm::Llm(const std::string& folder, int threads) : engine_(new Engine) {
    read_json(folder + "/config.json");  // whose fault has a better message than MNN's
    engine_->llm.reset(MNN::Transformer::Llm::createLLM(folder + "/config.json"));
    // One question is forgotten before the next, and the likeliest token is always taken.
    std::string settings = "{\"reuse_kv\":false,\"all_logits\":false,\"speculative_type\":\"\",\"sampler_type\":\"greedy\",\"thread_num\":" +
                           std::to_string(threads) + ",\"jinja\":{\"context\":{\"enable_thinking\":false}}}";
    bool loaded = engine_->llm && engine_->llm->set_config(settings) && engine_->llm->load();
    if (!loaded) throw Error(folder + " is not an LLM that MNN can load.");
}

void Llm::generate(const std::vector<Message>& messages, int max_tokens, const std::function<bool(const std::string&)>& take) {
    std::lock_guard<std::mutex> turn(turns_);
    auto& llm = *engine_->llm;
    MNN::Transformer::ChatMessages chat;
    for (auto& message : messages) chat.emplace_back(message.role, message.content);
    auto ids = llm.tokenizer_encode(llm.apply_chat_template(chat));
    if (ids.empty()) throw Error("The LLM got no tokens to read.");
    std::ostringstream written;
    std::string waiting;  // the beginning of a character
    auto passed_on = [&](bool last) {
        waiting += written.str();
        written.str("");
        size_t whole = waiting.size();
        for (size_t back = 1; !last && back <= std::min<size_t>(3, waiting.size()); ++back) {
            unsigned char lead = static_cast<unsigned char>(waiting[waiting.size() - back]);
            if ((lead & 0xc0) == 0x80) continue;
            size_t needed = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
            if (needed > back) whole = waiting.size() - back;
            break;
        }
        std::string piece = clean(waiting.substr(0, whole));
        waiting.erase(0, whole);
        return piece.empty() || take(piece);
    };
    llm.response(ids, &written, "", 1);
    bool goes_on = passed_on(false);
    for (int made = 1; goes_on && made < max_tokens && !llm.stoped(); ++made) {
        llm.generate(1);
        goes_on = passed_on(false);
    }
    if (llm.getContext()->status == MNN::Transformer::LlmStatus::INTERNAL_ERROR)
        throw Error("The LLM was not computed by MNN: its files do not fit each other, or the question is too long.");
    if (goes_on) passed_on(true);
}

#else

struct Llm::Engine {};

Llm::Llm(const std::string&, int) { throw Error("This MNN was built without its LLM part (MNN_BUILD_LLM)."); }

void Llm::generate(const std::vector<Message>&, int, const std::function<bool(const std::string&)>&) {}

#endif

Llm::~Llm() = default;

}  // namespace minnow
