class GuestBookController < ActionController::Base
  layout "application"
  protect_from_forgery with: :exception

  def index
    @entries = session[:entries] || []
  end

  def login
  end

  def enter
    if params[:password] == "secret"
      reset_session
      session[:name] = params[:name]
      redirect_to root_path, status: :see_other
    else
      flash.now[:notice] = "This password is wrong."
      # Turbo shows the answer to a form only if its status is not 200.
      render :login, status: :unprocessable_entity
    end
  end

  def write
    entries = session[:entries] || []
    if params.key?(:preview)
      @entries = entries
      flash.now[:notice] = "Preview: #{params[:text]}"
      render :index
    else
      session[:entries] = entries + [params[:text]]
      redirect_to root_path, status: :see_other, notice: "The entry was written."
    end
  end

  def leave
    reset_session
    redirect_to root_path, status: :see_other
  end

  def big
  end

  # A part of a page, as Turbo fetches the contents of a frame.
  def fragment
    render layout: false
  end
end
