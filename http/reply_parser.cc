#include "http/reply_parser.h"

#include "http/header_scan.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/system/errc.hpp>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

namespace twofold::http {

namespace {

namespace beast = boost::beast;
using beast::error_code;

constexpr std::size_t kHeaderCountMax = 128;
constexpr int kInterimRepliesMax = 16;

std::string_view view(beast::string_view text) noexcept { return {text.data(), text.size()}; }

class Grammar final : public beast::http::basic_parser<false> {
public:
    Grammar(const ReplyLimits& limits, const ReplyParser::Expectation& expectation)
        : limits_(limits), expectation_(expectation) {
        eager(true);
        // HeaderScanner has bounded the header, and take() bounds the body: lines may go on for
        // ever.
        header_limit(std::numeric_limits<std::uint32_t>::max());
        body_limit(boost::none);
        skip(expectation.to_head);
    }

    ClientReply reply;
    std::string failure;
    base::Errc failure_code = base::Errc::protocol_violation;

    // As in the request's grammar: Beast 1.81 asserts on "0 CR LF" with one more byte. Bytes of a
    // chunk never wait: they may be the end of a line.
    [[nodiscard]] bool must_wait(std::size_t size) const {
        return chunked() && chunk_left_ == 0 && size < 5;
    }

    // The body is complete; what is left is a line without its end.
    void finish_lines() {
        reply.truncated = !partial_line_.empty();
        partial_line_.clear();
    }

private:
    void refuse(base::Errc code, std::string text, error_code& ec) {
        failure_code = code;
        failure = std::move(text);
        ec = boost::system::errc::make_error_code(boost::system::errc::bad_message);
    }

    void on_request_impl(
        beast::http::verb, beast::string_view, beast::string_view, int, error_code&) override {}

    void on_response_impl(int status, beast::string_view, int, error_code& ec) override {
        reply.status = status;
        if (status < 100 || status > 599) {
            refuse(base::Errc::protocol_violation, "status " + std::to_string(status), ec);
        }
        if (status == 101) {
            refuse(base::Errc::protocol_violation, "an upgrade that nobody asked for", ec);
        }
    }

    void on_field_impl(beast::http::field field,
                       beast::string_view name,
                       beast::string_view value,
                       error_code& ec) override {
        if (header_done_) {
            return;  // trailers
        }
        if (reply.headers.size() >= kHeaderCountMax) {
            return refuse(base::Errc::limit_exceeded, "too many header fields", ec);
        }
        reply.headers.add(view(name), view(value));
        if (field == beast::http::field::content_type) {
            reply.content_type = media_type(view(value));
        } else if (field == beast::http::field::content_length) {
            if (++content_lengths_ > 1 || view(value).find(',') != std::string_view::npos) {
                refuse(base::Errc::protocol_violation, "Content-Length more than once", ec);
            }
        } else if (field == beast::http::field::transfer_encoding &&
                   !equal_ignoring_case(view(value), "chunked")) {
            refuse(base::Errc::protocol_violation, "an unknown Transfer-Encoding", ec);
        }
    }

    void on_header_impl(error_code&) override {
        header_done_ = true;
        reply.streamed = expectation_.on_line != nullptr && reply.status / 100 == 2 &&
                         reply.content_type == expectation_.line_type;
    }

    void on_body_init_impl(const boost::optional<std::uint64_t>& length, error_code& ec) override {
        if (!reply.streamed && length.value_or(0) > limits_.body_size_max) {
            body_too_large(ec);
        }
    }

    void body_too_large(error_code& ec) {
        refuse(
            base::Errc::limit_exceeded,
            "the reply's body is larger than " + std::to_string(limits_.body_size_max) + " bytes",
            ec);
    }

    std::size_t on_body_impl(beast::string_view piece, error_code& ec) override {
        take(view(piece), ec);
        return piece.size();
    }

    void on_chunk_header_impl(std::uint64_t size, beast::string_view, error_code&) override {
        chunk_left_ = size;
    }

    std::size_t on_chunk_body_impl(std::uint64_t,
                                   beast::string_view piece,
                                   error_code& ec) override {
        chunk_left_ -= piece.size();
        take(view(piece), ec);
        return piece.size();
    }

    void on_finish_impl(error_code&) override {}

    void take(std::string_view piece, error_code& ec) {
        if (reply.streamed) {
            return take_lines(piece, ec);
        }
        if (piece.size() > limits_.body_size_max - reply.body.size()) {
            return body_too_large(ec);
        }
        reply.body.append(piece);
    }

    void take_lines(std::string_view piece, error_code& ec) {
        while (!piece.empty()) {
            const std::size_t line_feed = piece.find('\n');
            const std::string_view part = piece.substr(0, line_feed);
            if (partial_line_.size() + part.size() > limits_.line_size_max) {
                return refuse(base::Errc::limit_exceeded,
                              "a line of the reply is longer than " +
                                  std::to_string(limits_.line_size_max) + " bytes",
                              ec);
            }
            if (line_feed == std::string_view::npos) {
                partial_line_.append(part);
                return;
            }
            piece.remove_prefix(line_feed + 1);
            bool go_on = false;
            if (partial_line_.empty()) {
                go_on = give(part);  // the usual case: no copy
            } else {
                partial_line_.append(part);
                const std::string line = std::exchange(partial_line_, {});
                go_on = give(line);
            }
            if (!go_on) {
                return refuse(base::Errc::cancelled, "the call is over", ec);
            }
        }
    }

    bool give(std::string_view line) {
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        return (*expectation_.on_line)(line);
    }

    const ReplyLimits& limits_;
    const ReplyParser::Expectation& expectation_;
    std::string partial_line_;
    std::size_t content_lengths_ = 0;
    std::uint64_t chunk_left_ = 0;
    bool header_done_ = false;
};

}  // namespace

class ReplyParser::Impl {
public:
    explicit Impl(const ReplyLimits& l) : limits(l) { begin(); }

    void begin() {
        grammar.emplace(limits, expectation);
        scanner = HeaderScanner();
        in_body = false;
        progress = ReplyProgress::incomplete;
    }

    void refuse(base::Errc code, std::string text) {
        grammar->failure_code = code;
        grammar->failure = std::move(text);
        progress = ReplyProgress::failed;
    }

    bool header_is_there(std::string_view bytes) {
        switch (scanner.scan(bytes, limits.header_size_max)) {
            case HeaderScan::complete: return true;
            case HeaderScan::incomplete: return false;
            case HeaderScan::too_large:
                refuse(base::Errc::limit_exceeded, "the reply's header is too large");
                return false;
            case HeaderScan::bare_line_feed:
            case HeaderScan::folded_line:
                refuse(base::Errc::protocol_violation, "the reply is not HTTP/1.1");
                return false;
        }
        return false;
    }

    std::size_t parse(std::string_view bytes) {
        error_code error;
        const std::size_t used =
            grammar->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
        if (error && error != beast::http::error::need_more) {
            if (grammar->failure.empty()) {
                refuse(base::Errc::protocol_violation,
                       "the reply is not valid HTTP/1.1: " + error.message());
            }
            progress = ReplyProgress::failed;
            return used;
        }
        // HeaderScanner has seen its end: more bytes would only make other text of it.
        if (!grammar->is_header_done()) {
            refuse(base::Errc::protocol_violation, "the reply's header ends before it is complete");
            return used;
        }
        in_body = true;
        if (grammar->is_done()) {
            grammar->finish_lines();
            progress = ReplyProgress::complete;
        } else if (bytes.size() - used > limits.header_size_max) {
            refuse(base::Errc::limit_exceeded, "a chunk header or the trailers are too large");
        }
        return used;
    }

    const ReplyLimits limits;
    Expectation expectation;
    std::optional<Grammar> grammar;
    HeaderScanner scanner;
    int interim_replies = 0;
    bool in_body = false;
    ReplyProgress progress = ReplyProgress::incomplete;
};

ReplyParser::ReplyParser(const ReplyLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}

ReplyParser::~ReplyParser() = default;

void ReplyParser::begin(const Expectation& expectation) {
    impl_->expectation = expectation;
    impl_->interim_replies = 0;
    impl_->begin();
}

std::size_t ReplyParser::feed(std::string_view bytes) {
    std::size_t used = 0;
    while (impl_->progress == ReplyProgress::incomplete && used < bytes.size()) {
        if (!impl_->in_body && !impl_->header_is_there(bytes.substr(used))) {
            return used;
        }
        if (impl_->in_body && impl_->grammar->must_wait(bytes.size() - used)) {
            return used;
        }
        used += impl_->parse(bytes.substr(used));
        if (impl_->progress != ReplyProgress::complete || impl_->grammar->reply.status / 100 != 1) {
            return used;
        }
        // "100 Continue" and the like announce the reply, they are not it.
        if (++impl_->interim_replies > kInterimRepliesMax) {
            impl_->refuse(base::Errc::limit_exceeded, "too many interim replies");
            return used;
        }
        impl_->begin();
    }
    return used;
}

void ReplyParser::feed_end() {
    if (impl_->progress != ReplyProgress::incomplete) {
        return;
    }
    error_code error;
    if (impl_->in_body && impl_->grammar->got_some()) {
        impl_->grammar->put_eof(error);
    } else {
        error = beast::http::error::partial_message;
    }
    if (error) {
        impl_->refuse(base::Errc::io_error,
                      impl_->in_body ? "the connection was closed within the reply's body"
                                     : "the connection was closed before the reply");
        return;
    }
    impl_->grammar->finish_lines();
    impl_->progress = ReplyProgress::complete;
}

ReplyProgress ReplyParser::progress() const noexcept { return impl_->progress; }

bool ReplyParser::keep_alive() const noexcept { return impl_->grammar->keep_alive(); }

const std::string& ReplyParser::failure() const noexcept { return impl_->grammar->failure; }

base::Errc ReplyParser::failure_code() const noexcept { return impl_->grammar->failure_code; }

ClientReply ReplyParser::take_reply() { return std::move(impl_->grammar->reply); }

}  // namespace twofold::http
