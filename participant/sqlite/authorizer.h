// What statements of a branch may do: an allow-list, asked by SQLite while it compiles a statement,
// its views and its triggers. Everything that would leave the branch's transaction, the file or the
// reach of the record is refused with a sentence.
#pragma once

#include "participant/sqlite/schema.h"

#include <memory>
#include <string>

namespace twofold::participant::sqlite {

class Authorizer {
public:
    // Installs itself; the connection must outlive it.
    explicit Authorizer(Connection& connection);
    ~Authorizer();
    Authorizer(const Authorizer&) = delete;
    Authorizer& operator=(const Authorizer&) = delete;

    // While restricted, statements are a client's; otherwise they are the store's own.
    // recordable: changes must be recordable, so virtual tables may only be read.
    void restrict(std::shared_ptr<const Schema> schema, bool recordable);
    void lift();

    struct Denial {
        std::string_view code;  // protocol::reason::k…
        std::string text;
    };
    // Why the last statement was refused; empty code: it was not.
    [[nodiscard]] const Denial& denial() const { return denial_; }
    void clear_denial() { denial_ = {}; }

    // The answer for SQLite.
    [[nodiscard]] int check(
        int action, const char* a, const char* b, const char* database, const char* trigger);

private:
    [[nodiscard]] int deny(std::string text);
    [[nodiscard]] int check_write(const char* table, const char* database);
    [[nodiscard]] int check_read(const char* table, const char* trigger);

    Connection& connection_;
    std::shared_ptr<const Schema> schema_;
    bool restricted_ = false;
    bool recordable_ = false;
    Denial denial_;
};

}  // namespace twofold::participant::sqlite
