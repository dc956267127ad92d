// Records: texts that an app puts into an index, each of which is one chunk; src/minnow/search/records.py.
#pragma once
#include "index_file.hpp"

namespace minnow {

struct Record {
    std::string id, text;
    Json metadata = {Json::Object{}};  // an object

    static Record read(const Json& stated);
};

// Adds records to a collection, or replaces those with the same ids: all or none. Texts that have not changed keep their
// vectors. Returns how many were embedded.
size_t put_records(const std::string& file, TextModel* model, const std::vector<Record>& records, const std::string& collection);
// Drops records by id, all of the collection where no ids are given; returns how many there were.
size_t remove_records(const std::string& file, const std::optional<std::vector<std::string>>& ids, const std::string& collection);

}  // namespace minnow
